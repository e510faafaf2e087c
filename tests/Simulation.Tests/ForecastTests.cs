using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Simulation.Tests;

/// <summary>Explain says of a read what the store then does with it.</summary>
public sealed class ForecastTests
{
    private const long Reads = 250_000;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void What_is_foretold_of_a_read_is_what_the_store_does(ulong seed)
    {
        IReadOnlyDictionary<ReadStep, long> counts = Forecasts.Run(seed, Reads);
        Assert.All(counts, step => Assert.True(step.Value * 100 >= Reads, $"{step.Key}: {step.Value} of {Reads}"));
    }

    /// <summary>The controls: rules that are wrong in one case each.</summary>
    [Theory]
    [InlineData("follower serves strong reads")]
    [InlineData("session waits without asking")]
    [InlineData("lag is not looked at")]
    [InlineData("another history is served")]
    [InlineData("hops do not matter")]
    public void A_rule_that_is_not_the_store_s_is_caught(string wrong)
    {
        SafetyViolationException caught = Assert.Throws<SafetyViolationException>(() => Forecasts.Run(1, Reads, (read, standing) => wrong switch
        {
            "follower serves strong reads" when read.Read.Level == ReadLevel.Strong => ReadRule.Decide(read, standing with { IsProved = true }),
            "session waits without asking" when read.Read.Level == ReadLevel.Session && ReadRule.Decide(read, standing) == ReadStep.Ask => ReadStep.Wait,
            "lag is not looked at" => ReadRule.Decide(read with { Read = read.Read with { MaxLag = null } }, standing),
            "another history is served" => ReadRule.Decide(read, standing with { History = read.Session.History }),
            "hops do not matter" => ReadRule.Decide(read with { HopsLeft = 1 }, standing),
            _ => ReadRule.Decide(read, standing),
        }));
        Assert.Equal("forecast-differs", caught.Invariant);
    }
}
