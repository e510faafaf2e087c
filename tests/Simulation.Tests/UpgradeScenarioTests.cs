namespace KvStore.Simulation.Tests;

/// <summary>A member that comes back as an older build while its group is raised, at every step of it.</summary>
public sealed class UpgradeScenarioTests
{
    private const ulong Seeds = 10;

    [Theory]
    [InlineData(RaiseMoment.BeforeProposed)]
    [InlineData(RaiseMoment.Appended)]
    [InlineData(RaiseMoment.Committed)]
    [InlineData(RaiseMoment.Used)]
    [InlineData(RaiseMoment.InSnapshot)]
    public void A_member_that_comes_back_as_an_older_build_halts_nobody_and_catches_up_when_it_is_upgraded(RaiseMoment moment)
    {
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            bool refused = HalfUpgraded.Run(seed, moment);
            if (moment == RaiseMoment.BeforeProposed)
            {
                Assert.False(refused, $"seed {seed}: there was nothing in the folder that an older build could not read");
            }
            else if (moment >= RaiseMoment.Committed)
            {
                Assert.True(refused, $"seed {seed}: an older build was let into a folder that it cannot read");
            }
        }
    }
}
