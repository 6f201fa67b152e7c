export { examine, type Report, reportOf } from './examine.ts'
export { createHandler } from './handler.ts'
