// The namespace, its work queues, and the queue where what was given up waits for a human.

param namespaceName string
param location string
param tags object
param workQueues string[]
param deadLetterQueue string
param appPrincipalId string
param producerPrincipalId string
param operatorPrincipalId string
param allowedSubnetIds string[]

var isPrivate = !empty(allowedSubnetIds)

// Network rules exist on Premium only. A namespace cannot change between Standard and Premium.
var sku = isPrivate ? { name: 'Premium', tier: 'Premium', capacity: 1 } : { name: 'Standard', tier: 'Standard' }

var dataOwner = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '090c5cfd-751d-490a-894a-3ce6f1109419')
var dataSender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39')

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: namespaceName
  location: location
  tags: tags
  sku: sku
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource networkRules 'Microsoft.ServiceBus/namespaces/networkRuleSets@2024-01-01' = if (isPrivate) {
  parent: namespace
  name: 'default'
  properties: {
    publicNetworkAccess: 'Enabled'
    defaultAction: 'Deny'
    virtualNetworkRules: [for id in allowedSubnetIds: {
      subnet: { id: id }
      ignoreMissingVnetServiceEndpoint: false
    }]
  }
}

// A deployment's name has at most 64 characters, a queue's up to 260.
module queues 'work-queue.bicep' = [for name in workQueues: {
  name: 'queue-${uniqueString(name)}'
  params: {
    namespaceName: namespace.name
    name: name
    appPrincipalId: appPrincipalId
    producerPrincipalId: producerPrincipalId
    operatorPrincipalId: operatorPrincipalId
  }
}]

resource deadLetters 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: deadLetterQueue
  properties: {
    lockDuration: 'PT1M'
    // Looking at a dead letter and putting it back must not set it aside once more.
    maxDeliveryCount: 1000
    // A dead letter has the same id each time it is sent.
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'PT2H'
    deadLetteringOnMessageExpiration: true
    maxSizeInMegabytes: 5120
  }
}

resource appSendsDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deadLetters.id, appPrincipalId, dataSender)
  scope: deadLetters
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataSender
  }
}

resource operatorOwnsDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(deadLetters.id, operatorPrincipalId, dataOwner)
  scope: deadLetters
  properties: {
    principalId: operatorPrincipalId
    roleDefinitionId: dataOwner
  }
}

output namespaceId string = namespace.id
output host string = replace(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':443/', '')
