using Xunit.Abstractions;

namespace KvStore.Storage.Tests;

/// <summary>WAL_SEEDS=20000 walks that many seeds instead of the usual ones.</summary>
public sealed class DamageFuzzTests(ITestOutputHelper output)
{
    private static int Seeds => int.TryParse(Environment.GetEnvironmentVariable("WAL_SEEDS"), out int asked) ? asked : 1000;

    [Fact]
    public void A13_no_damage_to_a_log_that_has_reached_the_disk_goes_unnoticed()
    {
        Dictionary<DamageOutcome, int> outcomes = Walk(Seeds, positionTaken: false);
        Assert.Equal(0, outcomes[DamageOutcome.Listed]);
        Assert.True(outcomes[DamageOutcome.Refused] > 5 * Seeds && outcomes[DamageOutcome.Harmless] > Seeds, string.Join(' ', outcomes));
    }

    [Fact]
    public void A13_when_a_power_cut_has_taken_the_position_only_what_is_listed_goes_unnoticed()
    {
        Dictionary<DamageOutcome, int> outcomes = Walk(Seeds / 2, positionTaken: true);
        Assert.True(
            outcomes[DamageOutcome.Refused] > 2 * Seeds && outcomes[DamageOutcome.Listed] > Seeds / 20, string.Join(' ', outcomes));
    }

    private Dictionary<DamageOutcome, int> Walk(int seeds, bool positionTaken)
    {
        Dictionary<DamageOutcome, int> sum = Enum.GetValues<DamageOutcome>().ToDictionary(o => o, _ => 0);
        for (int seed = 0; seed < seeds; seed++)
        {
            DamageFuzz fuzz = new(seed, Blindness.None, positionTaken);
            fuzz.Run();
            Assert.True(fuzz.FirstSilent is null, fuzz.FirstSilent);
            foreach ((DamageOutcome outcome, int count) in fuzz.Outcomes)
            {
                sum[outcome] += count;
            }
        }

        output.WriteLine($"{seeds} seeds: {string.Join(' ', sum)}");
        return sum;
    }
}
