using System.Globalization;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// Clients that move money between accounts of one hash tag by transactions. Whatever happens, the accounts of a set hold what they were
/// opened with: every transaction reads all of them at its end, so a half-done, repeated or interleaved one shows as a wrong sum, at once.
/// Each transfer that is done also counts itself, so at the end the number of transfers lies between those that were acknowledged and
/// those that were not refused. What is not answered is sent again under the same id to another node.
/// </summary>
public sealed class TransferWriters
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly Writer[] _writers;
    private readonly List<AccountSet> _sets = [];
    private int _open;
    private bool _stopped;

    private sealed class Writer(int number)
    {
        public int Number => number;
        public ulong Sequence { get; set; }
        public bool IsBusy { get; set; }

        /// <summary>What it last saw of the set it works on: revision and balance of each account.</summary>
        public (ulong Revision, long Balance)[] Seen { get; set; } = [];
    }

    /// <summary>Accounts, a count of transfers and a text, all of one slot.</summary>
    private sealed class AccountSet(string tag)
    {
        public string Tag => tag;
        public byte[][] Accounts { get; } = [.. Enumerable.Range(0, AccountsPerSet).Select(i => KeyOf(tag, $"account{i}"))];
        public byte[] Transfers { get; } = KeyOf(tag, "transfers");
        public byte[] Text { get; } = KeyOf(tag, "text");
        public int Acknowledged { get; set; }
        public int Unknown { get; set; }

        private static byte[] KeyOf(string tag, string name) => Encoding.ASCII.GetBytes($"{{{tag}}}{name}");
    }

    /// <param name="Writer">Who waits for it.</param>
    /// <param name="Set">Whose accounts it touches.</param>
    /// <param name="Request">The transaction, under its id.</param>
    /// <param name="Counts">Its first list is a transfer.</param>
    /// <param name="IsSpoiled">Its first list holds an item that must fail.</param>
    private sealed record Attempt(Writer Writer, AccountSet Set, KvRequest Request, bool Counts, bool IsSpoiled)
    {
        public int Sendings { get; set; }
        public bool MayHaveApplied { get; set; }
        public SimulatedNode? LastAsked { get; set; }
    }

    public TransferWriters(SimulatedCluster cluster, ulong seed)
    {
        _cluster = cluster;
        _random = new SimulatedRandom(seed ^ Salt);
        _writers = [.. Enumerable.Range(0, Writers).Select(w => new Writer(w))];
    }

    public bool AllIdle => _open == 0 && _writers.All(w => !w.IsBusy);

    public void Start()
    {
        foreach (Writer writer in _writers)
        {
            Next(writer);
        }
    }

    public void Stop() => _stopped = true;

    /// <summary>Sums and counts, read by one more transaction per set. The cluster must be able to answer.</summary>
    public void Check()
    {
        foreach (AccountSet set in _sets)
        {
            KvReply? reply = null;
            foreach (SimulatedNode node in _cluster.Nodes)
            {
                // One that stands for the build before knows no transaction, whatever its group has come to.
                reply = reply is null or { Result: null } ? ReadNow(node, set) : reply;
            }

            if (reply is { Code: ErrorCode.Unsupported or ErrorCode.Indeterminate } && set.Acknowledged == 0)
            {
                // The group never rose above the first level, so nothing of it was ever executed.
                continue;
            }

            Require(reply is { Result: TransactionResult }, "liveness", $"the accounts of {set.Tag} could not be read: {reply?.Code} {reply?.Detail}");
            IReadOnlyList<ItemResult> items = ((TransactionResult)reply!.Result!).Items;
            CheckSum(set, items);
            long done = BalanceOf(items[^1]);
            Require(
                done >= set.Acknowledged && done <= set.Acknowledged + set.Unknown, "transfer-count",
                $"{done} transfers of {set.Tag} were done, {set.Acknowledged} acknowledged and {set.Unknown} never answered");
        }
    }

    private KvReply? ReadNow(SimulatedNode node, AccountSet set)
    {
        KvReply? reply = null;
        var request = new KvRequest { Operation = new Transaction([], [.. Reads(set), new Get(set.Transfers)], []), TimeoutMs = 30_000 };
        Submit(node, request, r => reply = r);
        _cluster.Scheduler.RunUntil(() => reply is not null, 60_000_000);
        return reply;
    }

    private void Next(Writer writer)
    {
        writer.IsBusy = false;
        _cluster.Scheduler.After(_random.Between(1_000, MaxThinkMicros), "transfer", writer.Number, () =>
        {
            if (!_stopped)
            {
                writer.IsBusy = true;
                Send(Draw(writer, SetOfNow()));
            }
        });
    }

    private AccountSet SetOfNow()
    {
        // Accounts are left behind after a while, and their successors belong to other groups.
        string tag = $"bank{_cluster.Scheduler.NowMicros / SetLifeMicros}";
        if (_sets is not [.., var last] || last.Tag != tag)
        {
            _sets.Add(last = new AccountSet(tag));
            foreach (Writer writer in _writers)
            {
                writer.Seen = [];
            }
        }

        return last;
    }

    private Attempt Draw(Writer writer, AccountSet set)
    {
        (Transaction transaction, bool counts, bool spoiled) = _random.Below(10) switch
        {
            _ when writer.Seen.Length == 0 => (Opening(set), false, false),
            < 4 => (Move(writer, set), true, false),
            < 7 => (MoveByCounting(set, spoiled: false), true, false),
            < 8 => (MoveByCounting(set, spoiled: true), true, true),
            _ => (new Transaction([KeyCondition.Exists(set.Accounts[0])], Reads(set), Reads(set)), false, false),
        };
        var request = new KvRequest
        {
            Operation = transaction,
            Id = new RequestId(
                (UInt128)(ulong)(FirstClient + writer.Number), ++writer.Sequence,
                (ulong)SimulatedClock.TrueTime(_cluster.Scheduler).ToUnixTimeMilliseconds(), writer.Sequence),
            TimeoutMs = TimeoutMs,
        };
        return new Attempt(writer, set, request, counts, spoiled);
    }

    private static Protocol.Operation[] Reads(AccountSet set) => [.. set.Accounts.Select(account => new Get(account))];

    private static Transaction Opening(AccountSet set) => new(
        [.. set.Accounts.Select(account => KeyCondition.Absent(account))],
        [.. set.Accounts.Select(account => PutOf(account, Opened)), new Put(set.Text, "text"u8), .. Reads(set)],
        Reads(set));

    /// <summary>What a careful client does: it read, and writes what follows from that unless somebody was faster.</summary>
    private Transaction Move(Writer writer, AccountSet set)
    {
        (int from, int to) = DrawPair();
        long amount = _random.Between(1, 50);
        (ulong Revision, long Balance)[] seen = writer.Seen;
        return new Transaction(
            [KeyCondition.RevisionIs(set.Accounts[from], seen[from].Revision), KeyCondition.ValueIs(set.Accounts[to], BytesOf(seen[to].Balance))],
            [
                PutOf(set.Accounts[from], seen[from].Balance - amount), PutOf(set.Accounts[to], seen[to].Balance + amount),
                new Increment(set.Transfers), .. Reads(set),
            ],
            Reads(set));
    }

    private Transaction MoveByCounting(AccountSet set, bool spoiled)
    {
        (int from, int to) = DrawPair();
        long amount = _random.Between(1, 50);
        Protocol.Operation[] spoil = spoiled ? [new Increment(set.Text)] : [];
        return new Transaction(
            [KeyCondition.Exists(set.Accounts[from])],
            [new Increment(set.Accounts[from], -amount), .. spoil, new Increment(set.Accounts[to], amount), new Increment(set.Transfers), .. Reads(set)],
            Reads(set));
    }

    private (int From, int To) DrawPair()
    {
        int from = _random.Below(AccountsPerSet);
        return (from, (from + 1 + _random.Below(AccountsPerSet - 1)) % AccountsPerSet);
    }

    private void Send(Attempt attempt)
    {
        SimulatedNode[] others = [.. _cluster.Nodes.Where(n => n != attempt.LastAsked)];
        SimulatedNode node = attempt.LastAsked = others[_random.Below(others.Length)];
        int sending = ++attempt.Sendings;
        if (node.Store is null)
        {
            _cluster.Scheduler.After(_random.Between(500, 5_000), "refused", attempt.Writer.Number, () => Lost(attempt, nothingSent: true));
            return;
        }

        bool over = false;
        Submit(node, attempt.Request, reply => Ended(() => Answered(attempt, reply)));
        _cluster.Scheduler.After((TimeoutMs + 500) * 1000L, "patience", attempt.Writer.Number, () => Ended(() => Lost(attempt, nothingSent: false)));

        void Ended(Action how)
        {
            if (!over && attempt.Sendings == sending)
            {
                over = true;
                how();
            }
        }
    }

    private void Answered(Attempt attempt, KvReply? reply)
    {
        switch (reply)
        {
            case { Code: ErrorCode.None, Result: TransactionResult result }:
                Require(
                    !(attempt.IsSpoiled && result.Succeeded), "transfer-all-or-none",
                    $"a transfer of {attempt.Set.Tag} succeeded although one of its items cannot");
                Done(attempt, result);
                break;
            case { Code: ErrorCode.NotANumber } when attempt.IsSpoiled:
            case { Code: ErrorCode.Unsupported } when !attempt.MayHaveApplied:
                Next(attempt.Writer);
                break;
            default:
                Lost(attempt, nothingSent: reply?.Outcome == Outcome.NotApplied);
                break;
        }
    }

    private void Done(Attempt attempt, TransactionResult result)
    {
        _cluster.Marks.Executed(attempt.Request.Operation);
        attempt.Set.Acknowledged += attempt.Counts && result.Succeeded ? 1 : 0;
        ItemResult[] accounts = [.. result.Items.TakeLast(AccountsPerSet)];
        if (accounts.Any(item => item.Code == ErrorCode.Superseded))
        {
            _cluster.Marks.Hit(CoverageMarks.TransactionAnsweredLate);
        }
        else
        {
            CheckSum(attempt.Set, accounts);
            attempt.Writer.Seen = accounts.Any(item => item.Code != ErrorCode.None)
                ? []
                : [.. accounts.Select(item => (item.Result!.Revision, BalanceOf(item)))];
        }

        Next(attempt.Writer);
    }

    private static void CheckSum(AccountSet set, IReadOnlyList<ItemResult> items)
    {
        ItemResult[] accounts = [.. items.Take(AccountsPerSet)];
        int missing = accounts.Count(item => item.Code == ErrorCode.KeyNotFound);
        long sum = accounts.Sum(BalanceOf);
        Require(
            missing == AccountsPerSet || (missing == 0 && sum == Opened * AccountsPerSet), "transfer-sum",
            $"the accounts of {set.Tag} hold {sum} with {missing} missing: {string.Join(", ", accounts.Select(BalanceOf))}");
    }

    private void Lost(Attempt attempt, bool nothingSent)
    {
        attempt.MayHaveApplied |= !nothingSent;
        if (attempt.Sendings < MostSendings && !_stopped)
        {
            _cluster.Scheduler.After(_random.Between(1_000, 50_000), "retry", attempt.Writer.Number, () => Send(attempt));
            return;
        }

        attempt.Set.Unknown += attempt.Counts && attempt.MayHaveApplied ? 1 : 0;
        Next(attempt.Writer);
    }

    private void Submit(SimulatedNode node, KvRequest request, Action<KvReply?> ended)
    {
        bool over = false;
        _open++;
        node.OnCrash(() => End(null));
        node.Store!.Submit(request, new ReplySink(End));

        void End(KvReply? reply)
        {
            if (!over)
            {
                over = true;
                _open--;
                ended(reply);
            }
        }
    }

    private static Put PutOf(byte[] account, long balance) => new(account, BytesOf(balance));

    private static byte[] BytesOf(long balance) => Encoding.ASCII.GetBytes(balance.ToString(CultureInfo.InvariantCulture));

    private static long BalanceOf(ItemResult item) =>
        item.Result is Found found ? long.Parse(Encoding.ASCII.GetString(found.Value.Span), CultureInfo.InvariantCulture) : 0;

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }

    private const ulong Salt = 0xBA_4C;
    private const int Writers = 2;
    private const int AccountsPerSet = 4;
    private const long Opened = 1_000;
    private const int TimeoutMs = 1_000;
    private const int MostSendings = 4;

    /// <summary>Client ids that no other client of a run has.</summary>
    private const int FirstClient = 2_000;

    private const long MaxThinkMicros = 400_000;
    private const long SetLifeMicros = 20_000_000;
}
