export { createJsonApi } from './create-api.ts'
export { createFailures } from './failures.ts'
export { createTraffic } from './traffic.ts'
