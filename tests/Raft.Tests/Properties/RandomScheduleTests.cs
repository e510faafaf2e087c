using KvStore.Raft.Tests.Harness;

namespace KvStore.Raft.Tests.Properties;

public sealed class RandomScheduleTests
{
    private const int Seeds = 300;
    internal const int Steps = 2000;

    [Fact]
    public void Nothing_Raft_promises_breaks_in_random_schedules()
    {
        int elections = 0, committed = 0, reads = 0, changes = 0, installed = 0;
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            var schedule = new RandomSchedule(seed);
            Run(schedule, seed);
            elections += schedule.Elections;
            committed += schedule.Committed;
            reads += schedule.ReadsProved;
            changes += schedule.Changes;
            installed += schedule.Installed;
        }

        // A run in which little happened proves little.
        string figures = $"{elections} elections, {committed} entries, {reads} reads, {changes} changes, {installed} snapshots";
        Assert.True(
            elections > Seeds && committed > 20 * Seeds && reads > 4 * Seeds && changes > Seeds / 2 && installed > Seeds / 5, figures);
    }

    /// <summary>
    /// Two configurations in a row left a voter that did not know it was the last one: nobody would elect it, its own log being
    /// shorter than those of the members that were out. Since then a refused vote tells what is committed.
    /// </summary>
    [Fact]
    public void Seed_931_stranded_voter() => Run(new RandomSchedule(931), 931);

    [Fact]
    public void Same_seed_same_run()
    {
        (int, int, int, int) Figures()
        {
            var schedule = new RandomSchedule(17);
            schedule.Run(Steps);
            return (schedule.Elections, schedule.Committed, schedule.ReadsProved, schedule.Changes);
        }

        Assert.Equal(Figures(), Figures());
    }

    private static void Run(RandomSchedule schedule, ulong seed)
    {
        try
        {
            schedule.Run(Steps);
        }
        catch (InvariantViolationException e)
        {
            throw new SafetyViolationException($"seed {seed}: {e}");
        }
    }
}
