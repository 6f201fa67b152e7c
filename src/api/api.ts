export { createJsonApi } from './create-api.ts'
export { createFailures, createTraffic } from './overview/overview.ts'
