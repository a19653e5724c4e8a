// A queue that tasks go to, and who may do what with it.

param namespaceName string
param name string
param appPrincipalId string
param producerPrincipalId string
param operatorPrincipalId string

var dataOwner = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '090c5cfd-751d-490a-894a-3ce6f1109419')
var dataSender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39')

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: name
  properties: {
    // The host renews the lock while a task runs; after a crash the task waits this long. At most five minutes.
    lockDuration: 'PT1M'
    // How often a message may come back without having been settled, until it is set aside as poison.
    maxDeliveryCount: 5
    // What is published or sent on twice is enqueued once. Cannot be changed after the queue is made.
    requiresDuplicateDetection: true
    // Longer than a delivery can last (maxAutoLockRenewalDuration in host.json, 35 minutes): what a repeated delivery
    // sends again is recognised. And longer than the longest delay of a retry (an hour): a delivery repeated when the
    // retry is due is recognised too.
    duplicateDetectionHistoryTimeWindow: 'PT2H'
    // What expires is recorded as a failure; without this it would vanish.
    deadLetteringOnMessageExpiration: true
    // The most that Standard gives one queue: a full queue refuses tasks, and room costs nothing.
    maxSizeInMegabytes: 5120
  }
}

// Owner, because only with the right to manage can the host count active messages; with less it counts scheduled
// ones too, and starts instances for retries that are not due.
resource appOwns 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(queue.id, appPrincipalId, dataOwner)
  scope: queue
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataOwner
  }
}

resource producerSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(producerPrincipalId)) {
  name: guid(queue.id, producerPrincipalId, dataSender)
  scope: queue
  properties: {
    principalId: producerPrincipalId
    roleDefinitionId: dataSender
  }
}

resource operatorOwns 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(queue.id, operatorPrincipalId, dataOwner)
  scope: queue
  properties: {
    principalId: operatorPrincipalId
    roleDefinitionId: dataOwner
  }
}
