export { callControl } from './control-client.ts'
export { type ControlActions, type ControlServer, createControlServer } from './control-server.ts'
