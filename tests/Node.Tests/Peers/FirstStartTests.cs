using KvStore.Node.Config;
using KvStore.Node.Hosting;
using KvStore.Node.Tests.Hosting;

namespace KvStore.Node.Tests.Peers;

/// <summary>A9: a new cluster does not take its time from clocks that are apart.</summary>
public sealed class FirstStartTests
{
    private static readonly TimeSpan ElevenMinutes = TimeSpan.FromMinutes(11);

    [Fact]
    public async Task A9_a_first_start_with_clocks_apart_ends_until_they_are_set()
    {
        await using var nodes = new SeparateNodes();
        Task<int> first = (await nodes.StartAsync("n1")).Failed;
        Task<int> second = (await nodes.StartAsync("n2", time: new Wrong(ElevenMinutes))).Failed;
        Assert.All(await Task.WhenAll(first, second).WaitAsync(NodeProgram.Patience), code => Assert.Equal(2, code));
        Assert.Contains(nodes.Logs.Lines, line => line.Text.Contains("apart", StringComparison.Ordinal) && line.Text.Contains("--accept-clock-skew", StringComparison.Ordinal));

        // Their folders are there, and nothing has begun: it is a first start still.
        await nodes.StopAsync("n1", "n2");
        first = (await nodes.StartAsync("n1", time: new Wrong(-ElevenMinutes))).Failed;
        second = (await nodes.StartAsync("n2")).Failed;
        Assert.All(await Task.WhenAll(first, second).WaitAsync(NodeProgram.Patience), code => Assert.Equal(2, code));
        await nodes.StopAsync("n1", "n2");
        await nodes.StartAsync("n1", "n2");
        await nodes.PutAsync("n1", "k", "v");

        // A cluster that has begun goes on, whatever a clock does.
        await nodes.StopAsync("n2");
        await nodes.StartAsync("n2", time: new Wrong(ElevenMinutes));
        await nodes.ReadyAsync("n1", "n2");
        await nodes.PutAsync("n2", "k", "w");

        // Who comes for the first time ends, and nobody else.
        Task<int> third = (await nodes.StartAsync("n3", time: new Wrong(-ElevenMinutes))).Failed;
        Assert.Equal(2, await third.WaitAsync(NodeProgram.Patience));
        Assert.False(nodes["n1"].Failed.IsCompleted || nodes["n2"].Failed.IsCompleted);
    }

    [Fact]
    public async Task A9_told_to_accept_it_a_cluster_begins_with_clocks_apart()
    {
        await using var nodes = new SeparateNodes();
        nodes.Config = nodes.Config with { Clocks = new ClockSettings { AcceptSkew = true } };
        await nodes.StartAsync("n1");
        await nodes.StartAsync("n2", time: new Wrong(ElevenMinutes));
        await nodes.ReadyAsync("n1", "n2");
        await nodes.PutAsync("n1", "k", "v");
    }

    private sealed class Wrong(TimeSpan by) : TimeProvider
    {
        private readonly TimeProvider _right = new BootTimeProvider();

        public override long TimestampFrequency => _right.TimestampFrequency;

        public override long GetTimestamp() => _right.GetTimestamp();

        public override DateTimeOffset GetUtcNow() => _right.GetUtcNow() + by;
    }
}
