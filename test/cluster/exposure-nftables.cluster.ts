import { describeExposures } from '../support/exposures.ts'

describeExposures('nftables')
