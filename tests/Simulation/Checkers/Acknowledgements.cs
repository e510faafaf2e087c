using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// What clients had been told of successful writes, and when, in true time: the measure of every claim about age. Revisions of a
/// key and indices of a group only count upwards here: the newest told so far.
/// </summary>
public sealed class Acknowledgements
{
    private readonly Dictionary<string, Timeline> _revisions = [];
    private readonly Dictionary<GroupId, Timeline> _indices = [];

    public void Add(string key, ulong revision, GroupId group, ulong index, long nowMicros)
    {
        Of(_revisions, key).Add(nowMicros, revision);
        Of(_indices, group).Add(nowMicros, index);
    }

    /// <summary>The newest revision of a key that had been acknowledged before a moment; 0 when none had.</summary>
    public ulong RevisionBefore(string key, long micros) => _revisions.GetValueOrDefault(key)?.Before(micros) ?? 0;

    /// <summary>The last index of a group whose write had been acknowledged before a moment.</summary>
    public ulong IndexBefore(GroupId group, long micros) => _indices.GetValueOrDefault(group)?.Before(micros) ?? 0;

    private static Timeline Of<TKey>(Dictionary<TKey, Timeline> timelines, TKey key)
        where TKey : notnull
    {
        if (!timelines.TryGetValue(key, out Timeline? timeline))
        {
            timelines.Add(key, timeline = new Timeline());
        }

        return timeline;
    }

    private sealed class Timeline
    {
        private readonly List<long> _times = [];
        private readonly List<ulong> _values = [];

        public void Add(long micros, ulong value)
        {
            _times.Add(micros);
            _values.Add(_values.Count == 0 ? value : Math.Max(_values[^1], value));
        }

        public ulong Before(long micros)
        {
            int position = _times.BinarySearch(micros);
            position = position < 0 ? ~position : position;
            while (position > 0 && _times[position - 1] >= micros)
            {
                position--;
            }

            return position == 0 ? 0 : _values[position - 1];
        }
    }
}
