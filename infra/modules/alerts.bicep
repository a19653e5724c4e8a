// When must somebody look? Figures are gauges over 15 minutes, looked at every five.

param token string
param tags object
param namespaceId string
param insightsId string
param workQueues string[]
param deadLetterQueue string
param backlogLimit int
param email string

var actions = empty(email) ? [] : [{ actionGroupId: operators.id }]

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-boilermaker-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'boilermaker'
    enabled: true
    emailReceivers: [{ name: 'operators', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource givenUp 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'tasks-given-up-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Dead letters wait in ${deadLetterQueue}: boilermaker-fn deadletters list. Ends when the queue is empty.'
    severity: 2
    enabled: true
    scopes: [namespaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'waiting'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'ActiveMessages'
          dimensions: [{ name: 'EntityName', operator: 'Include', values: [deadLetterQueue] }]
          timeAggregation: 'Maximum'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: actions
  }
}

// The reaper empties these within moments. What stays is what nobody has recorded.
resource notReaped 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'dead-letters-not-reaped-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Messages stay in the dead-letter sub-queue of a queue: is reap_dead_letters running?'
    severity: 1
    enabled: true
    scopes: [namespaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'set-aside'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'DeadletteredMessages'
          dimensions: [{ name: 'EntityName', operator: 'Include', values: concat(workQueues, [deadLetterQueue]) }]
          timeAggregation: 'Minimum'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: actions
  }
}

// The minimum: above the limit for all of the 15 minutes. Scheduled retries are not active messages.
resource backlog 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'tasks-pile-up-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'More than ${backlogLimit} tasks have waited in a queue for 15 minutes: is run_task running, is maximumInstanceCount reached?'
    severity: 2
    enabled: true
    scopes: [namespaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'waiting'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'ActiveMessages'
          dimensions: [{ name: 'EntityName', operator: 'Include', values: workQueues }]
          timeAggregation: 'Minimum'
          operator: 'GreaterThan'
          threshold: backlogLimit
        }
      ]
    }
    actions: actions
  }
}

// A task that fails is a successful invocation; one that fails could not send or store. A few come with each
// deployment, when running tasks are handed back.
resource failures 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'invocations-fail-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Invocations fail: Service Bus or the table refuses, or the app does not load. No task is lost.'
    severity: 1
    enabled: true
    scopes: [insightsId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'failed'
          metricNamespace: 'microsoft.insights/components'
          metricName: 'requests/failed'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 20
        }
      ]
    }
    actions: actions
  }
}
