export { type FollowedFiles, followFiles } from './follow-files.ts'
export { describeIssue } from './issues.ts'
export { inDirectory, type OpenDirectory } from './open-directory.ts'
export { readRegularFile } from './regular-file.ts'
