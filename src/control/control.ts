export { callControl, callSocket } from './control-client.ts'
export {
  type ControlActions,
  type ControlServer,
  createControlHandler,
  createControlServer,
} from './control-server.ts'
