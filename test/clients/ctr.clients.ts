import { newCtrClient, oldCtrClient } from '../support/ctr-client.ts'
import { describeClient } from '../support/pulling.ts'

describeClient(oldCtrClient)
describeClient(newCtrClient)
