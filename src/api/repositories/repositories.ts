export { createGetRepositories } from './get-repositories.ts'
export { createGetTags } from './get-tags.ts'
export { createGetUsage, type Trash } from './get-usage.ts'
