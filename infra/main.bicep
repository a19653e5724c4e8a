// Everything that an app needs on Azure, in one resource group: queues, a table, the Function App, what watches them.
// No key and no connection string anywhere: every connection is an identity with a role on what it uses.

targetScope = 'resourceGroup'

@description('Goes into names and tags, so that several environments can live in one resource group.')
@minLength(1)
@maxLength(64)
param environmentName string = 'boilermaker'

@description('The region. It must offer Flex Consumption: az functionapp list-flexconsumption-locations.')
param location string = resourceGroup().location

@description('The queues that tasks go to. The first is the default queue; the others are those named with queue=.')
@minLength(1)
param workQueues string[] = ['boilermaker-tasks']

@description('Object id of who publishes (a web app, a person, a group): may send to the work queues, nothing else.')
param producerPrincipalId string = ''

@description('Whether the producer also asks for status and results, or cancels: those are rows of the table.')
param producerUsesTable bool = false

@description('Object id of who operates (a person, a group): looks into queues, dead letters and results, runs doctor.')
param operatorPrincipalId string = ''

@description('Where alerts go. Without it they only show in the portal.')
param alertEmail string = ''

@description('An alert fires when a work queue has more waiting messages than this for 15 minutes.')
@minValue(0)
param backlogLimit int = 1000

@description('Memory of an instance of the app, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The most instances of the app at once.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Id of a subnet for the app. Given one, queues and storage are closed to all other networks, and the namespace is Premium.')
param subnetId string = ''

@description('Ids of the subnets that producers and operators are in. They count only together with subnetId.')
param producerSubnetIds string[] = []

var token = uniqueString(resourceGroup().id, environmentName)
var tags = { 'azd-env-name': environmentName }
var allowedSubnetIds = empty(subnetId) ? [] : concat([subnetId], producerSubnetIds)
var deadLetterQueue = '${workQueues[0]}-dead-letters'
var tableName = 'boilermaker'

// Made first and given its roles before the app exists, so that the app never starts without them.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-boilermaker-${token}'
  location: location
  tags: tags
}

module serviceBus 'modules/service-bus.bicep' = {
  name: 'service-bus'
  params: {
    namespaceName: 'sb-boilermaker-${token}'
    location: location
    tags: tags
    workQueues: workQueues
    deadLetterQueue: deadLetterQueue
    appPrincipalId: identity.properties.principalId
    producerPrincipalId: producerPrincipalId
    operatorPrincipalId: operatorPrincipalId
    allowedSubnetIds: allowedSubnetIds
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    accountName: 'st${token}'
    location: location
    tags: tags
    tableName: tableName
    appPrincipalId: identity.properties.principalId
    producerPrincipalId: producerUsesTable ? producerPrincipalId : ''
    operatorPrincipalId: operatorPrincipalId
    allowedSubnetIds: allowedSubnetIds
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: 'log-boilermaker-${token}'
    insightsName: 'appi-boilermaker-${token}'
    location: location
    tags: tags
    appPrincipalId: identity.properties.principalId
  }
}

module functionApp 'modules/function-app.bicep' = {
  name: 'function-app'
  params: {
    appName: 'func-boilermaker-${token}'
    planName: 'plan-boilermaker-${token}'
    location: location
    tags: tags
    identityId: identity.id
    identityClientId: identity.properties.clientId
    serviceBusHost: serviceBus.outputs.host
    queueName: workQueues[0]
    deadLetterQueue: deadLetterQueue
    storageAccountName: storage.outputs.accountName
    deploymentContainerUrl: storage.outputs.deploymentContainerUrl
    tableServiceUrl: storage.outputs.tableServiceUrl
    tableName: tableName
    insightsConnectionString: monitoring.outputs.connectionString
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    subnetId: subnetId
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    token: token
    tags: tags
    namespaceId: serviceBus.outputs.namespaceId
    insightsId: monitoring.outputs.insightsId
    workQueues: workQueues
    deadLetterQueue: deadLetterQueue
    backlogLimit: backlogLimit
    email: alertEmail
  }
}

output AZURE_FUNCTION_APP_NAME string = functionApp.outputs.name
output FUNCTION_APP_URL string = functionApp.outputs.url

// Named as the settings of a producer, so that `azd env get-values` is its environment.
output SERVICE_BUS_NAMESPACE_URL string = serviceBus.outputs.host
output SERVICE_BUS_QUEUE_NAME string = workQueues[0]
output DEAD_LETTER_QUEUE_NAME string = deadLetterQueue
output TABLE_STORAGE_URL string = storage.outputs.tableServiceUrl
output BOILERMAKER_TABLE_NAME string = tableName
output WORK_QUEUES string = join(workQueues, ',')
