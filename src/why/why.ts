export type { Why, WhyLifetime } from './answer.ts'
export { describeWhy } from './describe-why.ts'
export { createWhy, type Explain } from './explain-image.ts'
