export { createJsonApi } from './create-api.ts'
