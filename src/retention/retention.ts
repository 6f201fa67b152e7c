export { type DecideOptions, type Decision, decide } from './decide.ts'
export { type Explained, type Explanation, explain } from './explain.ts'
export type { Image } from './image.ts'
export { quayRule, type Rule } from './rule.ts'
