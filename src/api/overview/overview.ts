export { createFailures } from './failures.ts'
export { createGetOverview, type OverviewOptions } from './get-overview.ts'
export { createTraffic } from './traffic.ts'
