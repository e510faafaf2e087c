namespace KvStore.LoadTests.Chaos;

/// <summary>
/// Judges what the reads of a history say about themselves. No clock of a server is looked at: times are those of the recording
/// process, ages are lengths. An age is computed somewhere between call and return, so what it promises for certain reaches up to
/// call - age; a later moment would accuse a server that computed it early and whose answer came late.
/// <list type="number">
/// <item>An age never lies: every write acknowledged before call - age is in the answer.</item>
/// <item>A bound is kept: an answer at level bounded shows an age, and at most the one asked for.</item>
/// <item>A session never goes back: within a process that carries a token no read shows less of a key than an answer before it
/// did, the token it sends has not forgotten what those answers showed, and the answering replica has applied what it names. A
/// token that was handed over names what its owner had seen, so with the next rule this is causality, too.</item>
/// <item>One index, one state: an answer made at a later applied index never shows less of a key than one made at an earlier
/// index, whatever level and node.</item>
/// <item>Weaker only when asked: an answer below the level asked for comes only where it was allowed (on_unmet: serve). And no token
/// of this history is refused.</item>
/// </list>
/// Strong reads have an age of 0, but are judged harder by <see cref="HistoryChecker"/>.
/// </summary>
internal static class ReadLevelChecker
{
    public const string AgeIsTrue = "an age never lies";
    public const string BoundIsKept = "a bound is kept";
    public const string SessionNeverBack = "a session never goes back";
    public const string OneIndexOneState = "one index, one state";
    public const string WeakerOnlyWhenAsked = "weaker only when asked";

    private const long NanosecondsPerMs = 1_000_000;

    // From the weakest; session and bounded promise different things, neither of them less than the other.
    private static readonly Dictionary<string, int> Strength = new()
    {
        [HistoryRecord.Eventual] = 0,
        [HistoryRecord.SessionLevel] = 1,
        [HistoryRecord.Bounded] = 1,
        [HistoryRecord.Strong] = 2,
    };

    public static IEnumerable<Violation> CheckKey(string key, IReadOnlyList<HistoryRecord> answered)
    {
        var gets = answered.Where(record => record.Op == HistoryRecord.Get).ToList();
        return CheckAges(key, answered, gets)
            .Concat(gets.SelectMany(CheckPromise))
            .Concat(CheckIndices(key, answered));
    }

    public static IEnumerable<Violation> CheckSessions(IEnumerable<HistoryRecord> records) => records
        .Where(record => record.Session is not null)
        .GroupBy(record => record.Process)
        .SelectMany(process => CheckSession([.. process.OrderBy(record => record.CallNs)]));

    private static IEnumerable<Violation> CheckAges(string key, IEnumerable<HistoryRecord> answered, IEnumerable<HistoryRecord> gets)
    {
        // Newest[i]: the newest of the puts acknowledged first, second, … i-th.
        var puts = answered.Where(record => record.Op == HistoryRecord.Put).OrderBy(put => put.ReturnNs).ToList();
        long[] returns = [.. puts.Select(put => put.ReturnNs!.Value)];
        var newest = new HistoryRecord[puts.Count];
        for (int i = 0; i < puts.Count; i++)
        {
            newest[i] = i > 0 && newest[i - 1].Version > puts[i].Version ? newest[i - 1] : puts[i];
        }

        foreach (var get in gets.Where(get => get.AgeMs is not null))
        {
            int before = CountBelow(returns, get.CallNs - (get.AgeMs!.Value * NanosecondsPerMs));
            if (before > 0 && (get.Version ?? 0) < newest[before - 1].Version)
            {
                yield return new Violation(AgeIsTrue, key, $"{newest[before - 1].Tell()} is not in {get.Tell()}");
            }
        }
    }

    private static int CountBelow(long[] sorted, long limit)
    {
        int low = 0, high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = sorted[middle] < limit ? (middle + 1, high) : (low, middle);
        }

        return low;
    }

    private static IEnumerable<Violation> CheckPromise(HistoryRecord get)
    {
        if (get.Level == HistoryRecord.Bounded && !(get.AgeMs <= get.BoundMs))
        {
            yield return new Violation(BoundIsKept, get.Key, $"at most {get.BoundMs} ms were asked for: {get.Tell()}");
        }

        if (get is { Asked: { } asked, Level: { } met, OnUnmet: not HistoryRecord.Serve } && Strength[met] < Strength[asked])
        {
            yield return new Violation(WeakerOnlyWhenAsked, get.Key, $"{asked} was asked for: {get.Tell()}");
        }
    }

    private static IEnumerable<Violation> CheckIndices(string key, IEnumerable<HistoryRecord> answered)
    {
        // A put counts first at its index: the reply to it is made when the whole entry is applied.
        var byIndex = answered
            .Where(record => record.Applied is not null)
            .OrderBy(record => record.Applied)
            .ThenBy(record => record.Op == HistoryRecord.Get)
            .ThenByDescending(record => record.Version ?? 0);
        HistoryRecord? newest = null;
        foreach (var record in byIndex)
        {
            if (record.Op == HistoryRecord.Get && (record.Version ?? 0) < newest?.Version)
            {
                yield return new Violation(OneIndexOneState, key, $"{newest.Tell()} was there already at {record.Tell()}");
            }

            if (record.Version is not null && !(record.Version < newest?.Version))
            {
                newest = record;
            }
        }
    }

    private static IEnumerable<Violation> CheckSession(IReadOnlyList<HistoryRecord> operations)
    {
        var shown = new Dictionary<string, HistoryRecord>();
        var seen = new Dictionary<uint, HistoryRecord>();
        foreach (var record in operations)
        {
            foreach (var (group, last) in seen)
            {
                if (record.Session!.GetValueOrDefault(group) < last.Applied)
                {
                    yield return new Violation(SessionNeverBack, record.Key, $"the token of {record.Tell()} has forgotten {last.Tell()}");
                }
            }

            if (record is { Op: HistoryRecord.Get, Outcome: OperationOutcome.Fail, Error: "SessionTokenInvalid" })
            {
                yield return new Violation(SessionNeverBack, record.Key, $"a token of this history was refused: {record.Tell()}");
            }

            if (record.Outcome != OperationOutcome.Ok)
            {
                continue;
            }

            if (record.Level == HistoryRecord.SessionLevel)
            {
                if (record.Group is { } from && record.Applied < record.Session!.GetValueOrDefault(from))
                {
                    yield return new Violation(SessionNeverBack, record.Key, $"less applied than the token names: {record.Tell()}");
                }

                if (shown.TryGetValue(record.Key, out var before) && (record.Version ?? 0) < before.Version)
                {
                    yield return new Violation(SessionNeverBack, record.Key, $"{before.Tell()}, and then {record.Tell()}");
                }
            }

            // What found nothing may come from a group that has no entry yet: it adds nothing to a token.
            if (record.Version is null)
            {
                continue;
            }

            if (!shown.TryGetValue(record.Key, out var newest) || record.Version > newest.Version)
            {
                shown[record.Key] = record;
            }

            if (record.Group is { } touched && (!seen.TryGetValue(touched, out var latest) || record.Applied > latest.Applied))
            {
                seen[touched] = record;
            }
        }
    }
}
