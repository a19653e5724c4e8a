// Parameters from the environment: azd passes its own (`azd env set NAME VALUE`), the Azure CLI the shell's (`export`).
// A main.parameters.json with ${NAME} would be understood by azd alone, and has no lists and no defaults.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'boilermaker')

// Separated by commas, with or without spaces; the first is the default queue.
param workQueues = split(replace(readEnvironmentVariable('WORK_QUEUES', 'boilermaker-tasks'), ' ', ''), ',')

param producerPrincipalId = readEnvironmentVariable('PRODUCER_PRINCIPAL_ID', '')
param producerUsesTable = bool(readEnvironmentVariable('PRODUCER_USES_TABLE', 'false'))
param operatorPrincipalId = readEnvironmentVariable('OPERATOR_PRINCIPAL_ID', '')

param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param backlogLimit = int(readEnvironmentVariable('BACKLOG_LIMIT', '1000'))

param instanceMemoryMB = int(readEnvironmentVariable('INSTANCE_MEMORY_MB', '2048'))
param maximumInstanceCount = int(readEnvironmentVariable('MAXIMUM_INSTANCE_COUNT', '40'))

param subnetId = readEnvironmentVariable('SUBNET_ID', '')
param producerSubnetIds = empty(readEnvironmentVariable('PRODUCER_SUBNET_IDS', ''))
  ? []
  : split(replace(readEnvironmentVariable('PRODUCER_SUBNET_IDS', ''), ' ', ''), ',')
