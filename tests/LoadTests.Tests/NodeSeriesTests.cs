using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Endurance;

namespace KvStore.LoadTests.Tests;

public sealed class NodeSeriesTests
{
    private const int Hour = 3600;

    [Fact]
    public void A_saw_around_a_level_passes_however_steep_its_warm_up_was()
    {
        var flat = Figures(second => 300_000_000 + (second % 40 * 1_000_000) - (second < Hour / 2 ? (Hour / 2 - second) * 100_000L : 0), _ => 120);
        Assert.Equal(Verdict.Pass, flat.Verdict);
        Assert.InRange(flat.Nodes[0].MemoryGrowth, -0.02, 0.02);
    }

    [Fact]
    public void A_leak_of_memory_under_the_same_saw_fails_and_says_how_much_an_hour()
    {
        var leak = Figures(second => 300_000_000 + (second % 40 * 1_000_000) + (second * 20_000L), _ => 120);
        Assert.Equal(Verdict.Fail, leak.Verdict);
        Assert.InRange(leak.Nodes[0].BytesPerHour, 0.9 * 20_000 * Hour, 1.1 * 20_000 * Hour);
        Assert.StartsWith("n1: memory grew", Assert.Single(leak.Failures()), StringComparison.Ordinal);
    }

    [Fact]
    public void A_leak_of_handles_fails() => Assert.Equal(Verdict.Fail, Figures(_ => 300_000_000, second => 120 + (second / 100)).Verdict);

    [Fact]
    public void Too_few_samples_are_no_verdict_and_a_node_that_ended_fails()
    {
        var figures = Figures(_ => 300_000_000, _ => 120);
        Assert.Equal(Verdict.Void, (figures with { Nodes = [new NodeSeries("n1", [.. figures.Nodes[0].Samples.Take(8)])] }).Verdict);
        Assert.Equal(Verdict.Fail, (figures with { Ended = "n1" }).Verdict);
    }

    [Fact]
    public void Less_than_four_fifths_of_the_peak_fails_under_overload_and_refusals_do_not()
    {
        var figures = Figures(_ => 300_000_000, _ => 120) with { PeakPerSecond = 1000, Refused = new Dictionary<string, long> { ["Overloaded"] = 9 } };
        Assert.Equal(Verdict.Pass, (figures with { ServedPerSecond = 800 }).Verdict);
        Assert.Equal(Verdict.Fail, (figures with { ServedPerSecond = 799 }).Verdict);
        Assert.Equal(Verdict.Fail, (figures with { PeakPerSecond = null, ServedPerSecond = 800 }).Verdict);
    }

    private static EnduranceFigures Figures(Func<int, long> residentAt, Func<int, int> handlesAt) => new()
    {
        Nodes = [new NodeSeries("n1", [.. Enumerable.Range(0, Hour / 7).Select(i => new ResourceSample(7 * i, residentAt(7 * i), handlesAt(7 * i)))])],
        OfferedPerSecond = 100,
        ServedPerSecond = 100,
        Refused = new Dictionary<string, long>(),
        Ended = null,
    };
}
