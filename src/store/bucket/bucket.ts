export { createBucketStore } from './create-bucket-store.ts'
