using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Simulation;

/// <summary>
/// Group time is never ahead of true time by more than the good clocks are, whatever one bad clock shows: everything that
/// ends in a group ends by it, and it never goes back. (Behind it may be: it stands still without a leader, and slows down beside slow clocks.)
/// </summary>
public sealed class GroupTime(Scheduler scheduler)
{
    private readonly Dictionary<GroupId, ulong> _newest = [];
    private long _allowedMs;

    /// <summary>
    /// Off where voters are taken away: a group that is left with the bad clock alone has nothing else to go by.
    /// </summary>
    public bool IsWatched { get; set; } = true;

    /// <summary>Most clocks are about to be off by so much: what they say is group time, and that never goes back.</summary>
    public void Allow(long offsetMs) => _allowedMs = Math.Max(_allowedMs, offsetMs);

    public void OnCommitted(GroupId group, Entry entry)
    {
        ulong before = _newest.GetValueOrDefault(group);
        if (entry.Clock < before)
        {
            throw new SafetyViolationException("group-time", $"group {group} entry {entry.Index} of term {entry.Term} is stamped earlier than the one before");
        }

        _newest[group] = entry.Clock;
        long aheadMs = (long)(entry.Clock >> 16) - SimulatedClock.TrueTime(scheduler).ToUnixTimeMilliseconds();
        if (IsWatched && aheadMs > MaxAheadMs + _allowedMs)
        {
            throw new SafetyViolationException(
                "group-time", $"group {group} entry {entry.Index} of term {entry.Term} was stamped {aheadMs} ms ahead of true time");
        }
    }

    /// <summary>Good clocks are at most 200 ms off, and drift by 500 ppm for a few minutes.</summary>
    private const long MaxAheadMs = 1_000;
}
