using KvStore.LoadTests.Measuring;

namespace KvStore.LoadTests.Tests;

public sealed class LatencyHistogramTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_percentile_is_the_sorted_value_or_at_most_one_in_128_above_it(int seed)
    {
        var random = new Random(seed);
        var histogram = new LatencyHistogram();
        long[] values = [.. Enumerable.Range(0, 20_000).Select(_ => (long)Math.Pow(10, random.NextDouble() * 11)).Order()];
        foreach (long value in values)
        {
            histogram.Record(value);
        }

        foreach (double percent in new[] { 0.01, 1, 50, 90, 99, 99.9, 100 })
        {
            long exact = values[(int)Math.Ceiling(values.Length * percent / 100) - 1];
            Assert.InRange(histogram.Percentile(percent), exact, exact + (exact / 128));
        }

        Assert.Equal(values[^1], histogram.Max);
        Assert.Equal(values.Length, histogram.Count);
        Assert.Equal(values.Average(), histogram.Mean, tolerance: 1);
    }

    [Fact]
    public void Around_every_power_of_two_the_value_lies_in_its_bucket()
    {
        for (int bit = 0; bit < 41; bit++)
        {
            foreach (long value in new[] { (1L << bit) - 1, 1L << bit, (1L << bit) + 1 })
            {
                var histogram = new LatencyHistogram();
                histogram.Record(value);
                histogram.Record(long.MaxValue);
                Assert.InRange(histogram.Percentile(50), value, value + (value / 128));
            }
        }
    }

    [Fact]
    public void Merged_histograms_are_those_of_all_values()
    {
        var random = new Random(7);
        LatencyHistogram left = new(), right = new(), both = new();
        for (int i = 0; i < 1000; i++)
        {
            long value = random.Next();
            (i % 3 == 0 ? left : right).Record(value);
            both.Record(value);
        }

        left.Merge(right);
        Assert.Equal(both.Count, left.Count);
        Assert.Equal(both.Max, left.Max);
        Assert.Equal(both.Mean, left.Mean, tolerance: 1e-6);
        Assert.Equal(both.Percentile(90), left.Percentile(90));
    }

    [Fact]
    public void Recording_allocates_nothing()
    {
        var histogram = new LatencyHistogram();
        histogram.Record(1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            histogram.Record(i * 1000L);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Out_of_range_counts_at_the_ends_and_an_empty_one_says_0()
    {
        var histogram = new LatencyHistogram();
        Assert.Equal(0, histogram.Percentile(99));
        histogram.Record(-5);
        Assert.Equal(0, histogram.Percentile(100));
        histogram.Record(long.MaxValue);
        Assert.Equal((1L << 41) - 1, histogram.Percentile(100));
    }
}
