import { describeExposures } from '../support/exposures.ts'

describeExposures('iptables')
