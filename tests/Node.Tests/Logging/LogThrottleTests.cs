using KvStore.Node.Logging;

namespace KvStore.Node.Tests.Logging;

public sealed class LogThrottleTests
{
    [Fact]
    public void One_line_per_interval_which_says_how_many_were_left_out()
    {
        var clock = new HandClock();
        var throttle = new LogThrottle(clock, TimeSpan.FromSeconds(10));
        Assert.True(throttle.TryEnter(out long leftOut));
        Assert.Equal(0, leftOut);
        for (int i = 0; i < 5; i++)
        {
            Assert.False(throttle.TryEnter(out _));
        }

        clock.Milliseconds = 9_999;
        Assert.False(throttle.TryEnter(out _));
        clock.Milliseconds = 10_000;
        Assert.True(throttle.TryEnter(out leftOut));
        Assert.Equal(6, leftOut);
        Assert.False(throttle.TryEnter(out _));
        clock.Milliseconds = 100_000;
        Assert.True(throttle.TryEnter(out leftOut));
        Assert.Equal(1, leftOut);
    }

    private sealed class HandClock : TimeProvider
    {
        public long Milliseconds { get; set; }

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => Milliseconds;
    }
}
