// Package e2e proves what mbus promises about processes: it has tests only, and
// they run the real mbus command, services of their own and the tools of NATS,
// kill them, restart them and send them garbage. What one process can prove is
// tested beside the code instead.
//
// The tests build what they run, use free ports of this machine and temporary
// directories, and leave no process behind. What a promise says about time is
// asserted on the median of a few rounds, since one round on a busy machine
// proves little; -v prints every figure.
//
// TestChaos… is the fault lab: loads that call at a fixed rate (load), services
// that write down what they execute (worker), and faults in between. The times of
// the faults come from a seed. A test that fails prints where it keeps the
// timeline, every call and every execution.
//
// A silent cut needs network namespaces and nft, so root on Linux; elsewhere a
// TCP proxy stops forwarding, and the report names what that does not show as a
// gap, which is a failure where MBUS_CI is set. Clocks that are wrong are built
// in: programs are linked with a package time whose wall clock is off.
//
//	variable       meaning
//	MBUS_NATS_CLI  the NATS command line tool, if it is not nats in the PATH
//	MBUS_CI        what a test needs must be there: nothing is skipped for want of it
//	MBUS_LONG      the long forms: 10,000 calls where the short form makes 3,000, and more rounds
//	SEED           the seed of the fault lab, to repeat a run
//	ROUNDS         how many faults of a kind the long form of the fault lab makes
//	REPORT         a file that gets the report of the fault lab as Markdown
//
// The tests need Unix processes and signals; what reads /proc needs Linux.
package e2e
