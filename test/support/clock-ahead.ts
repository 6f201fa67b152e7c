// Loaded into a process before its program: its clock is a minute ahead.
const { now } = Date
Date.now = () => now() + 60_000
