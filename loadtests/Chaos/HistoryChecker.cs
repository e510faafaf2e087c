namespace KvStore.LoadTests.Chaos;

/// <summary>
/// Judges a history of puts and gets. Every reply carries the revision of what it wrote or read, and every value is written by
/// one put only, so the order of the writes of a key is known and each rule is exact and takes linear time (but for sorting):
/// <list type="number">
/// <item>A revision names one value, and a value has one revision: a put that was sent again is applied once.</item>
/// <item>What is read was written: by a put of that key that had been called by then and was not refused.</item>
/// <item>Revisions never go back in real time: what a strong read finds, and what a put is given, is not older than anything
/// that was acknowledged or read before it was called. This is where a lost write, a stale strong read and an old value that
/// comes back show.</item>
/// <item>At the end every key that was written is readable through every node, and all nodes agree.</item>
/// </list>
/// What reads say about their level, their age and their session is judged by <see cref="ReadLevelChecker"/>.
/// </summary>
internal sealed class HistoryChecker
{
    public const string OneRevisionOneValue = "one revision, one value";
    public const string ReadsWhatWasWritten = "reads what was written";
    public const string NeverBackwards = "never backwards";
    public const string AllThereAtTheEnd = "all there at the end";

    private readonly List<Violation> _violations = [];

    private HistoryChecker()
    {
    }

    /// <exception cref="InvalidDataException">Not a history that can be judged here.</exception>
    public static CheckResult Check(IEnumerable<HistoryRecord> history)
    {
        var records = history.ToList();
        var checker = new HistoryChecker();
        foreach (var ofKey in records.GroupBy(record => record.Key))
        {
            checker.CheckKey(ofKey.Key, new KeyHistory(ofKey));
        }

        checker._violations.AddRange(ReadLevelChecker.CheckSessions(records));
        var puts = records.Where(record => record.Op == HistoryRecord.Put).ToLookup(put => put.Outcome);
        var reads = records.Where(record => record is { Op: HistoryRecord.Get, Outcome: OperationOutcome.Ok }).ToList();
        var terms = records.Where(record => record.Term is not null).Select(record => (record.Group, record.Term)).Distinct().ToList();
        return new CheckResult
        {
            AcknowledgedWrites = puts[OperationOutcome.Ok].Count(),
            UnknownWrites = puts[OperationOutcome.Unknown].Count(),
            RefusedWrites = puts[OperationOutcome.Fail].Count(),
            Reads = reads.Count,
            FinalReads = reads.Count(read => read.Final),
            ReadsByLevel = reads.Where(read => !read.Final).CountBy(read => read.Level ?? HistoryRecord.Strong).ToDictionary(),
            ServedWeaker = reads.Count(read => read.OnUnmet == HistoryRecord.Serve && read.Asked is not null),
            Ages = AgesOf(reads),
            LeaderChanges = terms.Count - terms.Select(seen => seen.Group).Distinct().Count(),
            Violations = checker._violations,
        };
    }

    private static Dictionary<string, IReadOnlyList<long>> AgesOf(IEnumerable<HistoryRecord> reads) => reads
        .Where(read => !read.Final && read is { AgeMs: not null, Level: not (null or HistoryRecord.Strong) })
        .GroupBy(read => read.Level!)
        .ToDictionary(level => level.Key, level => (IReadOnlyList<long>)[.. level.Select(read => read.AgeMs!.Value).Order()]);

    private void CheckKey(string key, KeyHistory operations)
    {
        CheckRevisions(key, operations);
        foreach (var get in operations.Answered.Where(record => record is { Op: HistoryRecord.Get, Result: not null }))
        {
            CheckWritten(key, operations, get);
        }

        CheckOrder(key, operations);
        CheckEnd(key, operations);
        _violations.AddRange(ReadLevelChecker.CheckKey(key, operations.Answered));
    }

    private void CheckRevisions(string key, KeyHistory operations)
    {
        var byRevision = new Dictionary<ulong, HistoryRecord>();
        var byValue = new Dictionary<string, HistoryRecord>();
        foreach (var record in operations.Answered)
        {
            if (record.Shown is not { } value)
            {
                continue;
            }

            if (record.Version is not { } version)
            {
                Report(OneRevisionOneValue, key, $"answered without a revision: {record.Tell()}");
                continue;
            }

            if (!byRevision.TryAdd(version, record) && byRevision[version].Shown != value)
            {
                Report(OneRevisionOneValue, key, $"two values under one revision: {byRevision[version].Tell()}; {record.Tell()}");
            }

            if (!byValue.TryAdd(value, record) && byValue[value].Version != version)
            {
                Report(OneRevisionOneValue, key, $"one put under two revisions, applied twice: {byValue[value].Tell()}; {record.Tell()}");
            }
        }
    }

    private void CheckWritten(string key, KeyHistory operations, HistoryRecord get)
    {
        if (!operations.Puts.TryGetValue(get.Result!, out var put))
        {
            Report(ReadsWhatWasWritten, key, $"nobody wrote what was read: {get.Tell()}");
        }
        else if (put.Outcome == OperationOutcome.Fail)
        {
            Report(ReadsWhatWasWritten, key, $"a put answered as not applied was read: {put.Tell()}; {get.Tell()}");
        }
        else if (put.CallNs > get.ReturnNs)
        {
            Report(ReadsWhatWasWritten, key, $"read before it was written: {get.Tell()}; {put.Tell()}");
        }
    }

    // A sweep over calls and returns: at each call, the newest revision shown so far is the least this operation may show.
    private void CheckOrder(string key, KeyHistory operations)
    {
        var calls = operations.Answered.Select(record => (At: record.CallNs, IsReturn: false, Record: record));
        var returns = operations.Answered.Select(record => (At: record.ReturnNs ?? long.MaxValue, IsReturn: true, Record: record));
        var floors = new Dictionary<HistoryRecord, HistoryRecord?>(ReferenceEqualityComparer.Instance);
        HistoryRecord? newest = null;

        // Call before return: operations that touch in one nanosecond count as concurrent.
        foreach (var (_, isReturn, record) in calls.Concat(returns).OrderBy(moment => moment.At).ThenBy(moment => moment.IsReturn))
        {
            if (!isReturn)
            {
                floors[record] = newest;
                continue;
            }

            if (floors[record] is { } floor && PromisesOrder(record) && GoesBack(floor, record))
            {
                Report(NeverBackwards, key, $"{floor.Tell()} had returned before {record.Tell()} was called");
            }

            // Eventual reads count here, too: what they show was committed and cannot be undone.
            if (record.Version is not null && (newest is null || record.Version > newest.Version))
            {
                newest = record;
            }
        }
    }

    private static bool PromisesOrder(HistoryRecord record) => record.Op == HistoryRecord.Put || record.Level == HistoryRecord.Strong;

    // A put is given a revision of its own, above all before it; a read may find what was there.
    private static bool GoesBack(HistoryRecord floor, HistoryRecord record) => record.Op == HistoryRecord.Put
        ? (record.Version ?? 0) <= floor.Version
        : (record.Version ?? 0) < floor.Version;

    private void CheckEnd(string key, KeyHistory operations)
    {
        foreach (var unreadable in operations.Finals.Where(get => get.Outcome != OperationOutcome.Ok))
        {
            Report(AllThereAtTheEnd, key, $"not readable at the end: {unreadable.Tell()}");
        }

        var acknowledged = operations.Puts.Values.FirstOrDefault(put => put.Outcome == OperationOutcome.Ok);
        if (operations.Finals.Count == 0 && acknowledged is not null)
        {
            Report(AllThereAtTheEnd, key, $"not read at the end although {acknowledged.Tell()}");
        }

        var answers = operations.Finals.Where(get => get.Outcome == OperationOutcome.Ok).ToList();
        if (answers.FirstOrDefault(get => get.Version != answers[0].Version || get.Result != answers[0].Result) is { } other)
        {
            Report(AllThereAtTheEnd, key, $"two nodes disagree: {answers[0].Tell()}; {other.Tell()}");
        }
    }

    private void Report(string rule, string key, string story) => _violations.Add(new Violation(rule, key, story));

    private sealed class KeyHistory
    {
        public KeyHistory(IEnumerable<HistoryRecord> records)
        {
            foreach (var record in records)
            {
                Add(record);
            }
        }

        public Dictionary<string, HistoryRecord> Puts { get; } = [];

        public List<HistoryRecord> Answered { get; } = [];

        public List<HistoryRecord> Finals { get; } = [];

        private void Add(HistoryRecord record)
        {
            if (record.Op == HistoryRecord.Put)
            {
                string value = record.Value ?? throw new InvalidDataException($"{record.Key}: a put without a value");
                if (!Puts.TryAdd(value, record))
                {
                    throw new InvalidDataException($"{record.Key}: '{value}' is put twice; values must be unique");
                }
            }
            else if (record.Op != HistoryRecord.Get)
            {
                throw new InvalidDataException($"{record.Key}: {record.Op} is not judged here, only put and get");
            }

            if (record.Outcome == OperationOutcome.Ok)
            {
                Answered.Add(record);
            }

            if (record.Final)
            {
                Finals.Add(record);
            }
        }
    }
}
