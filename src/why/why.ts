export type { Why, WhyLifetime } from './answer.ts'
export { createWhy } from './explain-image.ts'
