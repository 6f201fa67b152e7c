export { type FollowedFiles, followFiles } from './follow-files.ts'
export { describeIssue } from './issues.ts'
export { readRegularFile } from './regular-file.ts'
