namespace KvStore.Protocol.Tests;

/// <summary>Time that passes only when the test says so; timers fire inside Advance.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<ManualTimer> _timers = [];
    private long _now;

    public override long TimestampFrequency => 1000;

    /// <summary>Timers that will fire one day.</summary>
    public int RunningTimers
    {
        get
        {
            lock (_gate)
            {
                return _timers.Count(timer => timer.IsDue(long.MaxValue - 1));
            }
        }
    }

    public override long GetTimestamp() => Volatile.Read(ref _now);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        lock (_gate)
        {
            _timers.Add(timer);
        }

        return timer;
    }

    public void Advance(int milliseconds)
    {
        Interlocked.Add(ref _now, milliseconds);
        ManualTimer[] due;
        lock (_gate)
        {
            due = [.. _timers.Where(timer => timer.IsDue(_now))];
        }

        foreach (var timer in due)
        {
            timer.Fire();
        }
    }

    private sealed class ManualTimer(ManualTime time, TimerCallback callback, object? state) : ITimer
    {
        private long _dueAt = long.MaxValue;
        private long _periodMs;

        public bool IsDue(long now) => now >= Volatile.Read(ref _dueAt);

        public void Fire()
        {
            _dueAt = _periodMs > 0 ? time.GetTimestamp() + _periodMs : long.MaxValue;
            callback(state);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            _periodMs = (long)period.TotalMilliseconds;
            Volatile.Write(ref _dueAt, dueTime < TimeSpan.Zero ? long.MaxValue : time.GetTimestamp() + (long)dueTime.TotalMilliseconds);
            return true;
        }

        public void Dispose() => Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
