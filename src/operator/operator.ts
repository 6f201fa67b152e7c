export { leaseRules, registryRules } from './operator-rights.ts'
export { registryDefinition } from './registry-definition.ts'
export { registryResource } from './registry-resource.ts'
