export { createGcsStore } from './gcs.ts'
export { createS3Store } from './s3.ts'
