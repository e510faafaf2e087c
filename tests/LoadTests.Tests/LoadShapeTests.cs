using System.Text;
using KvStore.LoadTests.Load;

namespace KvStore.LoadTests.Tests;

public sealed class LoadShapeTests
{
    [Fact]
    public void Zipf_ranks_come_as_often_as_the_law_says()
    {
        const int Keys = 1000, Draws = 400_000;
        var zipf = new ZipfKeys(Keys);
        var random = new Random(11);
        int[] counts = new int[Keys];
        for (int i = 0; i < Draws; i++)
        {
            counts[zipf.NextRank(random)]++;
        }

        double zeta = Enumerable.Range(1, Keys).Sum(k => 1 / Math.Pow(k, 0.99));
        foreach (int rank in new[] { 1, 2 })
        {
            double expected = Draws / Math.Pow(rank, 0.99) / zeta;
            Assert.InRange(counts[rank - 1], expected * 0.97, expected * 1.03);
        }

        // From rank 3 on the generator is an approximation; the head and the tail as a whole have the right weight.
        double headShare = Enumerable.Range(1, 100).Sum(k => 1 / Math.Pow(k, 0.99)) / zeta;
        Assert.InRange(counts.Take(100).Sum() / (double)Draws, headShare - 0.02, headShare + 0.02);
        Assert.All(counts, count => Assert.True(count > 0));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(100_000)]
    public void Zipf_keys_stay_in_the_key_space(int count)
    {
        var zipf = new ZipfKeys(count);
        var random = new Random(5);
        Assert.All(Enumerable.Range(0, 10_000).Select(_ => zipf.Next(random)), key => Assert.InRange(key, 0, count - 1));
    }

    [Fact]
    public void Keys_have_16_bytes() => Assert.Equal("key:000000000042", Encoding.ASCII.GetString(KeySpace.KeyOf(42)));

    [Fact]
    public void Acked_below_never_passes_a_request_that_is_open()
    {
        var ids = new RequestIdSource(9);
        var first = ids.Begin();
        var second = ids.Begin();
        Assert.Equal((1UL, 1UL), (first.Sequence, first.AckedBelow));
        Assert.Equal((2UL, 1UL), (second.Sequence, second.AckedBelow));
        ids.End(second);
        Assert.Equal(1UL, ids.Begin().AckedBelow);
        ids.End(first);
        Assert.Equal(3UL, ids.Begin().AckedBelow);
    }
}
