using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in what becomes of the groups of a node whose disk is sick.</summary>
public sealed class DiskHealthNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void C2_a_disk_that_stands_still_unwatched_is_caught() =>
        Hunt.CatchesIn(output, "disk-not-watched", "liveness", SickDisk.Hangs);

    [Fact]
    public void C2_a_disk_that_crawls_judged_by_the_moment_is_caught() =>
        Hunt.CatchesIn(output, "disk-judged-by-the-moment", "leadership-moves", SickDisk.Crawls);

    [Fact]
    public void C2_a_disk_that_comes_and_goes_judged_by_the_moment_is_caught() =>
        Hunt.CatchesIn(output, "disk-judged-by-the-moment", "leadership-moves", SickDisk.Flaps);

    [Fact]
    public void C2_two_disks_that_come_and_go_judged_by_the_moment_are_caught() =>
        Hunt.CatchesIn(output, "disk-judged-by-the-moment", "leadership-moves", SickDisk.TwoFlap);

    [Fact]
    public void C2_a_preferred_node_judged_by_its_log_alone_is_caught() =>
        Hunt.CatchesIn(output, "successor-by-match", "leadership-moves", SickDisk.PreferredWhileIdle);

    [Fact]
    public void C2_a_successor_judged_by_its_log_alone_is_caught() =>
        Hunt.CatchesIn(output, "successor-by-match", "leadership-moves", SickDisk.TwoOfThree);
}
