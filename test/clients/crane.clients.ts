import { craneClient } from '../support/crane-client.ts'
import { describeClient } from '../support/pulling.ts'

describeClient(craneClient)
