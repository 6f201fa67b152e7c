export { createDockerConfigSource, hasDockerLogin } from './config.ts'
export { createDockerHelperSource } from './helper.ts'
export { hasEntryFor } from './hosts.ts'
