// The table that keeps results, and the blobs that the Functions host keeps for itself and for the app's package.

param accountName string
param location string
param tags object
param tableName string
param appPrincipalId string
param producerPrincipalId string
param operatorPrincipalId string
param allowedSubnetIds string[]

var blobOwner = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b')
var tableContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3')

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: accountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      defaultAction: empty(allowedSubnetIds) ? 'Allow' : 'Deny'
      bypass: 'None'
      virtualNetworkRules: [for id in allowedSubnetIds: { id: id, action: 'Allow' }]
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource deployments 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'deployments'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-06-01' = {
  parent: tables
  name: tableName
}

// On the account: the host makes containers of its own, for leases and keys, beside that of the deployments.
resource appOwnsBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, appPrincipalId, blobOwner)
  scope: account
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobOwner
  }
}

resource appWritesTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(table.id, appPrincipalId, tableContributor)
  scope: table
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tableContributor
  }
}

// Contributor, not reader: cancelling a task writes its row.
resource producerWritesTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(producerPrincipalId)) {
  name: guid(table.id, producerPrincipalId, tableContributor)
  scope: table
  properties: {
    principalId: producerPrincipalId
    roleDefinitionId: tableContributor
  }
}

resource operatorWritesTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId) && operatorPrincipalId != producerPrincipalId) {
  name: guid(table.id, operatorPrincipalId, tableContributor)
  scope: table
  properties: {
    principalId: operatorPrincipalId
    roleDefinitionId: tableContributor
  }
}

output accountName string = account.name
output deploymentContainerUrl string = '${account.properties.primaryEndpoints.blob}${deployments.name}'
output tableServiceUrl string = account.properties.primaryEndpoints.table
