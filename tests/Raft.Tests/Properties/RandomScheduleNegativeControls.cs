using KvStore.Raft.Tests.Harness;

namespace KvStore.Raft.Tests.Properties;

/// <summary>Owners that break the Ready contract must be found out by the checks of <see cref="RandomSchedule"/>.</summary>
public sealed class RandomScheduleNegativeControls
{
    /// <summary>The first seeds are near the ones that find it, to save time.</summary>
    [Theory]
    [InlineData(OwnerBug.ForgetsVote, 800)]
    [InlineData(OwnerBug.AcknowledgesBeforeSync, 1)]
    internal void An_owner_that_breaks_the_contract_is_caught(OwnerBug bug, ulong firstSeed)
    {
        for (ulong seed = firstSeed; seed < firstSeed + 3000; seed++)
        {
            try
            {
                new RandomSchedule(seed, bug).Run(RandomScheduleTests.Steps);
            }
            catch (Exception e) when (e is SafetyViolationException or InvariantViolationException)
            {
                return;
            }
        }

        Assert.Fail($"{bug} was not caught");
    }
}
