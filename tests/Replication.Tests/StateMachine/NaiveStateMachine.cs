using System.Buffers;
using System.Globalization;
using System.Text;
using KvStore.Protocol;
using KvStore.StateMachine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>One rule of the state machine taken out or bent: what the tests must be able to see.</summary>
public enum Mutant
{
    None,
    TrimmedAtEquality,
    FloorForgotten,
    FloorWithoutMemory,
    FloorGoesDown,
    HintBeyondOwnSequence,
    WindowJudgedBeforeRecord,
    TimeWithoutOwnClock,
    ExpiryFromFirstSentOnly,
    RefusalsRecorded,
    FailuresNotRecorded,
    ClockNotRepaired,
    RefusedUsesNoRevision,
    DigestIgnored,
    BatchKeepsWhatWentWell,
    FutureAccepted,
    AppendTakesTheNewType,
    AppendKnowsNoLimit,
    TransactionJudgedAfterItsWrites,
    TransactionTakesTheFirstListAlways,
    TransactionIgnoresTypes,
    TransactionReadsBeforeItsWrites,
    OldVersionShownAsCurrent,
}

/// <summary>
/// The state machine again, as literally and slowly as the rules are written: lists, linear search, strings, no codec and no
/// table. The product must agree with it on every random stream, and no mutant of it may.
/// </summary>
internal sealed class NaiveStateMachine(Mutant mutant, ulong startTime)
{
    private const ulong D = 600_000;
    private const ulong Hour = 3_600_000;

    private readonly SortedDictionary<string, Row> _rows = new(StringComparer.Ordinal);
    private readonly List<Record> _records = [];
    private readonly List<Floor> _floors = [];
    private ulong _last = startTime << 16;
    private ulong _time = startTime;

    private sealed record Row(string Value, string? Type, ulong Revision);

    private sealed record Record(int VirtualNode, UInt128 Client, ulong Sequence, RequestDigest Digest, ulong Expires, CommandResult Result);

    private sealed record Floor(int VirtualNode, UInt128 Client, ulong Below, ulong Expires);

    public ulong GroupTime => _time;

    public int RecordCount => _records.Count;

    public int FloorCount => _floors.Count;

    /// <summary>As <see cref="Machine.Rows"/> shows them, without the virtual node's order.</summary>
    public IEnumerable<string> Rows => _rows.Select(r => $"{r.Key} = {r.Value.Value} ({r.Value.Type}) @ {r.Value.Revision}");

    public List<CommandResult> Apply(ulong clock, IReadOnlyList<KvRequest> requests)
    {
        ulong start = mutant == Mutant.ClockNotRepaired ? clock : Math.Max(clock, _last + 1);
        ulong before = _time;
        _time = Math.Max(_time, start >> 16);
        ulong time = mutant == Mutant.TimeWithoutOwnClock ? before : _time;
        _records.RemoveAll(r => mutant == Mutant.TrimmedAtEquality ? r.Expires <= time : r.Expires < time);
        _floors.RemoveAll(f => f.Expires < time);
        var results = new List<CommandResult>();
        ulong revision = start;
        foreach (KvRequest request in requests)
        {
            CommandResult result = ApplyRequest(request, revision, time);
            results.Add(result);
            bool refused = result.Duplicate || !IsExecuted(result.Code);
            if (!(refused && mutant == Mutant.RefusedUsesNoRevision))
            {
                revision += (ulong)((WriteOperation)request.Operation).KeyCount;
            }
        }

        _last = Math.Max(start, revision - 1);
        return results;
    }

    private static bool IsExecuted(ErrorCode code) => code is ErrorCode.None or ErrorCode.ConditionFailed or ErrorCode.NotANumber or ErrorCode.TooLarge;

    private CommandResult ApplyRequest(KvRequest request, ulong revision, ulong time)
    {
        if (request.Id is not { } id)
        {
            return Execute(request, revision);
        }

        int node = Machine.VirtualNodeOf(request.Key.Span);
        ulong issued = id.FirstSentMs == 0 ? time : id.FirstSentMs;
        bool tooOld = issued + D < time;
        if (mutant == Mutant.WindowJudgedBeforeRecord && tooOld)
        {
            return Refused(ErrorCode.IdempotencyExpired, Outcome.Unknown);
        }

        if (_records.Find(r => r.VirtualNode == node && r.Client == id.Client && r.Sequence == id.Sequence) is { } record)
        {
            return record.Digest == id.Digest || mutant == Mutant.DigestIgnored
                ? AsDuplicate(record.Result, request.Operation)
                : Refused(ErrorCode.IdempotencyReused, Outcome.NotApplied);
        }

        Floor? floor = _floors.Find(f => f.VirtualNode == node && f.Client == id.Client);
        if (floor is not null && id.Sequence != 0 && id.Sequence < floor.Below)
        {
            return Refused(ErrorCode.IdempotencyExpired, Outcome.Unknown);
        }

        CommandResult? refusal = null;
        if (tooOld)
        {
            refusal = Refused(ErrorCode.IdempotencyExpired, Outcome.Unknown);
        }
        else if (issued > time + Hour && mutant != Mutant.FutureAccepted)
        {
            refusal = Refused(ErrorCode.InvalidRequest, Outcome.NotApplied);
        }

        if (refusal is { } refused && mutant != Mutant.RefusalsRecorded)
        {
            return refused;
        }

        CommandResult result = refusal ?? Execute(request, revision);
        ulong expires = mutant == Mutant.ExpiryFromFirstSentOnly ? issued + D : Math.Max(issued, time) + D;
        ulong below = mutant == Mutant.HintBeyondOwnSequence && id.Sequence != 0 ? id.AckedBelow : Math.Min(id.AckedBelow, id.Sequence);
        if (below > 1 && (floor is null || below > floor.Below || mutant == Mutant.FloorGoesDown))
        {
            List<Record> replaced = _records.FindAll(
                r => r.VirtualNode == node && r.Client == id.Client && r.Sequence != 0 && r.Sequence < below);
            _records.RemoveAll(replaced.Contains);
            _floors.RemoveAll(f => f == floor);
            ulong floorExpires = mutant == Mutant.FloorWithoutMemory
                ? expires
                : replaced.Select(r => r.Expires).Append(expires).Append(floor?.Expires ?? 0).Max();
            if (mutant != Mutant.FloorForgotten)
            {
                _floors.Add(new Floor(node, id.Client, below, floorExpires));
            }
        }

        if (mutant != Mutant.FailuresNotRecorded || result.Code == ErrorCode.None)
        {
            _records.Add(new Record(node, id.Client, id.Sequence, id.Digest, expires, result));
        }

        return result;
    }

    private CommandResult Execute(KvRequest request, ulong revision)
    {
        switch (request.Operation)
        {
            case Batch batch:
                (ErrorCode code, ulong last, ItemResult[] items) = ExecuteList(batch.Items, revision);
                return Ended(code, new BatchResult(last, items));
            case Transaction transaction:
                bool holds = mutant == Mutant.TransactionTakesTheFirstListAlways
                    || (mutant == Mutant.TransactionJudgedAfterItsWrites ? HoldAfter(transaction, revision) : transaction.Conditions.All(Holds));
                ulong first = revision + (ulong)transaction.Conditions.Count + (holds ? 0 : (ulong)transaction.Then.Count);
                IReadOnlyList<Operation> chosen = holds ? transaction.Then : transaction.Otherwise;
                (code, last, items) = ExecuteList(chosen, first);
                return Ended(code, new TransactionResult(chosen.Any(item => item is KeyWrite) ? last : 0, holds, items));
            default:
                return ExecuteSingle((KeyWrite)request.Operation, revision);
        }
    }

    private static CommandResult Ended(ErrorCode code, Result result) =>
        code == ErrorCode.None ? Done(result) : Failed(code, 0) with { Result = result };

    private bool HoldAfter(Transaction transaction, ulong revision)
    {
        var before = new Dictionary<string, Row>(_rows);
        ExecuteList(transaction.Then, revision);
        bool holds = transaction.Conditions.All(Holds);
        Restore(before);
        return holds;
    }

    private bool Holds(KeyCondition condition)
    {
        Row? row = _rows.GetValueOrDefault(Text(condition.Key));
        return condition.Kind switch
        {
            KeyConditionKind.RevisionIs => row?.Revision == condition.Revision,
            KeyConditionKind.Exists => row is not null,
            KeyConditionKind.Absent => row is null,
            KeyConditionKind.ValueIs => row?.Value == Text(condition.Value),
            _ => row is not null && row.Value == Text(StoredValue.ValueOf(condition.Value))
                && (row.Type == StoredValue.ContentTypeOf(condition.Value.Span) || mutant == Mutant.TransactionIgnoresTypes),
        };
    }

    private (ErrorCode Code, ulong Last, ItemResult[] Items) ExecuteList(IReadOnlyList<Operation> list, ulong revision)
    {
        var before = new Dictionary<string, Row>(_rows);
        CommandResult[] items = [.. list.Select(_ => Failed(ErrorCode.None, 0))];
        int appended = 0;
        int read = 0;
        for (int i = 0; i < items.Length; i++)
        {
            if (list[i] is not KeyWrite write)
            {
                IDictionary<string, Row> seen = mutant == Mutant.TransactionReadsBeforeItsWrites ? before : _rows;
                Row? row = seen.TryGetValue(Text(list[i].Key), out Row? there) ? there : null;
                read += row is null ? 0 : Encoding.UTF8.GetByteCount(row.Value);
                items[i] = row is null
                    ? new CommandResult(ErrorCode.KeyNotFound, Outcome.None, null, false, null)
                    : new CommandResult(ErrorCode.None, Outcome.None, FoundIn(row), false, null);
            }
            else
            {
                items[i] = ExecuteSingle(write, revision + (ulong)i);
                appended += write is Append && items[i].Code == ErrorCode.None ? Encoding.UTF8.GetByteCount(_rows[Text(write.Key)].Value) : 0;
            }

            if (appended > 4_194_304 || read > 3_145_728)
            {
                items[i] = Failed(ErrorCode.TooLarge, 0);
                break;
            }
        }

        CommandResult failed = items.FirstOrDefault(i => i.Code is not (ErrorCode.None or ErrorCode.KeyNotFound));
        if (failed.Code == ErrorCode.None)
        {
            return (ErrorCode.None, revision + (ulong)items.Length - 1, [.. items.Select(ItemOf)]);
        }

        if (mutant != Mutant.BatchKeepsWhatWentWell)
        {
            Restore(before);
        }

        return (failed.Code, 0, [.. items.Select((item, i) =>
        {
            bool heldBack = item.Code is ErrorCode.None or ErrorCode.KeyNotFound;
            ulong current = before.GetValueOrDefault(Text(list[i].Key))?.Revision ?? 0;
            return ItemOf(Failed(heldBack ? failed.Code : item.Code, current)) with { IsHeldBack = heldBack };
        })]);
    }

    private void Restore(Dictionary<string, Row> before)
    {
        _rows.Clear();
        foreach ((string key, Row row) in before)
        {
            _rows.Add(key, row);
        }
    }

    private static Found FoundIn(Row row)
    {
        var stored = new ArrayBufferWriter<byte>();
        StoredValue.Write(stored, row.Type, Encoding.UTF8.GetBytes(row.Value));
        return new Found(row.Revision, stored.WrittenMemory);
    }

    private CommandResult ExecuteSingle(KeyWrite write, ulong revision)
    {
        string key = Text(write.Key);
        Row? row = _rows.GetValueOrDefault(key);
        bool holds = write.Condition.Kind switch
        {
            ConditionKind.RevisionIs => row?.Revision == write.Condition.Revision,
            ConditionKind.Exists => row is not null,
            ConditionKind.Absent => row is null,
            _ => true,
        };
        if (!holds)
        {
            return Failed(ErrorCode.ConditionFailed, row?.Revision ?? 0);
        }

        switch (write)
        {
            case Put put:
                _rows[key] = new Row(Text(put.Value), put.ContentType, revision);
                return Done(new Written(revision, row is null));
            case Append append:
                string whole = row?.Value + Text(append.Value);
                if (Encoding.UTF8.GetByteCount(whole) > 1_048_576 && mutant != Mutant.AppendKnowsNoLimit)
                {
                    return Failed(ErrorCode.TooLarge, row?.Revision ?? 0);
                }

                bool newType = row is null || mutant == Mutant.AppendTakesTheNewType;
                _rows[key] = new Row(whole, newType ? StoredValue.ContentTypeOf(append.Stored.Span) : row!.Type, revision);
                return Done(new Written(revision, row is null));
            case Delete:
                _rows.Remove(key);
                return Done(new Deleted(revision, row is not null));
            case Increment increment:
                Int128 number = increment.Initial;
                if (row is not null)
                {
                    if (!long.TryParse(row.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long parsed)
                        || row.Value.StartsWith('+'))
                    {
                        return Failed(ErrorCode.NotANumber, row.Revision);
                    }

                    number = parsed;
                }

                number += increment.Delta;
                if (number < long.MinValue || number > long.MaxValue)
                {
                    return Failed(ErrorCode.NotANumber, row?.Revision ?? 0);
                }

                _rows[key] = new Row(number.ToString(CultureInfo.InvariantCulture), row is null ? "text/plain" : row.Type, revision);
                return Done(new Counted(revision, (long)number));
            default:
                throw new InvalidOperationException($"the twin does not know {write.GetType().Name}");
        }
    }

    private static ItemResult ItemOf(CommandResult result) => new(result.Code, result.Outcome, null, result.Result);

    // A record keeps no value: a read is shown again while its key has the version that it saw.
    private CommandResult AsDuplicate(CommandResult result, Operation copy)
    {
        if (result.Result is TransactionResult txn && copy is Transaction asked)
        {
            IReadOnlyList<Operation> list = txn.Succeeded ? asked.Then : asked.Otherwise;
            ItemResult[] items =
            [
                .. txn.Items.Select((item, i) => item.Result is not Found found ? item
                    : _rows.GetValueOrDefault(Text(list[i].Key)) is { } row && (row.Revision == found.Revision || mutant == Mutant.OldVersionShownAsCurrent)
                        ? item with { Result = FoundIn(row) }
                        : new ItemResult(ErrorCode.Superseded, Outcome.None, null, new Current(found.Revision))),
            ];
            result = result with { Result = txn with { Items = items } };
        }

        return result with { Duplicate = true };
    }

    private static CommandResult Done(Result result) => new(ErrorCode.None, Outcome.Applied, result, false, null);

    private static CommandResult Failed(ErrorCode code, ulong revision) =>
        new(code, Outcome.NotApplied, new Current(revision), false, null);

    private static CommandResult Refused(ErrorCode code, Outcome outcome) => new(code, outcome, null, false, null);

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
}
