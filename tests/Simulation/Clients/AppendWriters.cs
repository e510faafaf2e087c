using System.Globalization;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// Clients that append tokens, each sent once under an id of its own, to lists that nothing else is done to: so the value of a list is its
/// history, and a strong read of it shows whether a write was lost, repeated, reordered or half done. Some appends go alone, some in a
/// batch, to both lists of a set at once; what else such a batch writes follows from the order of its tokens. Some batches hold an item
/// that must fail. What is not answered is sent again under the same id to another node until its deadline; in some runs copies come late.
/// </summary>
public sealed class AppendWriters
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly Writer[] _writers;
    private readonly List<KeySet> _sets = [];
    private readonly Dictionary<string, KeySet> _setOf = [];
    private readonly int _timeoutMs;
    private readonly bool _sayWhatIsAcknowledged;
    private readonly double _lateCopies;
    private int _open;
    private bool _stopped;

    private enum Fate
    {
        Open,
        Acknowledged,

        /// <summary>Proved to have done nothing.</summary>
        Refused,
        Unknown,
    }

    /// <summary>What a batch does to the register of its set.</summary>
    private enum RegisterChange
    {
        None,
        Put,
        Delete,
        DeleteAndAppend,
        PutAndAppend,
    }

    private sealed class Writer(int number)
    {
        public int Number => number;
        public ulong Sequence { get; set; }
        public bool IsBusy { get; set; }
    }

    private sealed class Token(int writer, ulong sequence, IReadOnlyList<TokenList> lists)
    {
        public int Writer => writer;
        public ulong Sequence => sequence;

        /// <summary>The lists it is appended to; a token of a batch of puts is in none.</summary>
        public IReadOnlyList<TokenList> Lists => lists;

        public string Text { get; } = string.Create(CultureInfo.InvariantCulture, $"{writer}.{sequence}");
        public bool IsOfBatch { get; init; }
        public bool Counts { get; init; }
        public RegisterChange Register { get; init; }

        /// <summary>An item of its batch cannot but fail.</summary>
        public bool IsSpoiled { get; init; }

        public Fate Fate { get; set; }

        /// <summary>Acknowledged, or seen by a strong read: from now on every list of it shows it.</summary>
        public bool IsCertain { get; set; }
    }

    private sealed class TokenList(byte[] key)
    {
        public byte[] Key => key;

        /// <summary>The longest that a strong read has shown.</summary>
        public Token[] Longest { get; set; } = [];

        /// <summary>Every read that is asked from now on shows these.</summary>
        public List<Token> Certain { get; } = [];

        public ulong Revision { get; set; }

        public override string ToString() => Encoding.ASCII.GetString(key);
    }

    /// <summary>Keys of one hash tag.</summary>
    private sealed class KeySet(string tag)
    {
        public Dictionary<string, Token> Tokens { get; } = [];
        public TokenList[] Lists { get; } = [new(KeyOf(tag, "list0")), new(KeyOf(tag, "list1"))];
        public byte[] Register { get; } = KeyOf(tag, "register");
        public byte[] Counter { get; } = KeyOf(tag, "counter");

        /// <summary>Two registers and a counter that every batch of puts writes: what a group can hold at any level.</summary>
        public byte[][] Pair { get; } = [KeyOf(tag, "pair0"), KeyOf(tag, "pair1")];
        public byte[] PairCounter { get; } = KeyOf(tag, "pairs");

        public string Tag => tag;

        private static byte[] KeyOf(string tag, string name) => Encoding.ASCII.GetBytes($"{{{tag}}}{name}");
    }

    /// <summary>One write under way, over all its sendings.</summary>
    private sealed class Attempt(Writer writer, Token token, KvRequest request, long deadlineMicros)
    {
        public Writer Writer => writer;
        public Token Token => token;
        public KvRequest Request => request;
        public long DeadlineMicros => deadlineMicros;
        public int Sendings { get; set; }
        public SimulatedNode? LastAsked { get; set; }
        public bool MayHaveApplied { get; set; }

        /// <summary>Since it was first sent there was somebody who could rightly say that the group does not know the operation yet.</summary>
        public bool MayBeUnsupported { get; set; }

        /// <summary>How its one execution ended, as whichever copy was told.</summary>
        public (ErrorCode Code, ulong Revision)? Executed { get; set; }
    }

    public AppendWriters(SimulatedCluster cluster, ulong seed)
    {
        _cluster = cluster;
        _random = new SimulatedRandom(seed ^ Salt);
        _timeoutMs = 200 + _random.Below(1_500);
        _sayWhatIsAcknowledged = _random.Chance(0.5);
        _lateCopies = _random.Chance(0.5) ? 0.1 : 0;
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

    /// <summary>Reads everything strongly, and compares the keys of each set with each other. The cluster must be able to answer.</summary>
    public void Check()
    {
        foreach (KeySet set in _sets)
        {
            Check(set);
        }
    }

    private void Next(Writer writer)
    {
        writer.IsBusy = false;
        _cluster.Scheduler.After(_random.Between(1_000, MaxThinkMicros), "append", writer.Number, () =>
        {
            if (_stopped)
            {
                return;
            }

            writer.IsBusy = true;
            KeySet set = SetOfNow();
            if (_random.Chance(0.3))
            {
                Read(writer, set, set.Lists[_random.Below(2)]);
            }
            else
            {
                Send(Draw(writer, set));
            }
        });
    }

    private KeySet SetOfNow()
    {
        // Lists are left behind after a while, and their successors belong to other groups.
        string tag = $"append{_random.Below(Sets)}.{_cluster.Scheduler.NowMicros / SetLifeMicros}";
        if (!_setOf.TryGetValue(tag, out KeySet? set))
        {
            _setOf.Add(tag, set = new KeySet(tag));
            _sets.Add(set);
        }

        return set;
    }

    private Attempt Draw(Writer writer, KeySet set)
    {
        ulong sequence = ++writer.Sequence;
        (Token token, WriteOperation operation) = _random.Below(100) switch
        {
            < 50 => DrawAppend(writer, sequence, set.Lists[_random.Below(2)]),
            < 85 => DrawBatch(writer, sequence, set),
            _ => DrawBatchOfPuts(writer, sequence, set),
        };
        set.Tokens.Add(token.Text, token);
        var request = new KvRequest
        {
            Operation = operation,
            Id = new RequestId(
                (UInt128)(ulong)(FirstClient + writer.Number), sequence,
                (ulong)SimulatedClock.TrueTime(_cluster.Scheduler).ToUnixTimeMilliseconds(), _sayWhatIsAcknowledged ? sequence : 0),
            TimeoutMs = _timeoutMs,
        };
        return new Attempt(writer, token, request, _cluster.Scheduler.NowMicros + _random.Between(1, 4) * _timeoutMs * 1000L);
    }

    private (Token Token, WriteOperation Operation) DrawAppend(Writer writer, ulong sequence, TokenList list)
    {
        var token = new Token(writer.Number, sequence, [list]);
        return (token, AppendOf(token, list.Key, DrawCondition(list)));
    }

    private (Token Token, WriteOperation Operation) DrawBatch(Writer writer, ulong sequence, KeySet set)
    {
        var token = new Token(writer.Number, sequence, set.Lists)
        {
            IsOfBatch = true,
            Counts = _random.Chance(0.5),
            Register = (RegisterChange)_random.Below(5),
            IsSpoiled = _random.Chance(0.25),
        };
        var items = new List<KeyWrite>
        {
            AppendOf(token, set.Lists[0].Key, token.IsSpoiled ? default : DrawCondition(set.Lists[0])),
            AppendOf(token, set.Lists[1].Key),
        };
        if (token.Counts)
        {
            items.Insert(_random.Below(items.Count + 1), new Increment(set.Counter));
        }

        if (token.Register is RegisterChange.Put or RegisterChange.PutAndAppend)
        {
            items.Add(new Put(set.Register, Encoding.ASCII.GetBytes(token.Register == RegisterChange.Put ? token.Text : "+")));
        }
        else if (token.Register is RegisterChange.Delete or RegisterChange.DeleteAndAppend)
        {
            items.Add(new Delete(set.Register));
        }

        if (token.Register is RegisterChange.PutAndAppend or RegisterChange.DeleteAndAppend)
        {
            items.Add(new Append(set.Register, Encoding.ASCII.GetBytes(token.Text)));
        }

        Spoil(token, items, set.Lists[0].Key);
        return (token, new Batch(items));
    }

    private (Token Token, WriteOperation Operation) DrawBatchOfPuts(Writer writer, ulong sequence, KeySet set)
    {
        var token = new Token(writer.Number, sequence, []) { IsOfBatch = true, IsSpoiled = _random.Chance(0.25) };
        byte[] text = Encoding.ASCII.GetBytes(token.Text);
        var items = new List<KeyWrite> { new Put(set.Pair[0], text), new Put(set.Pair[1], text), new Increment(set.PairCounter) };
        Spoil(token, items, set.Pair[0]);
        return (token, new Batch(items));
    }

    /// <param name="token">Of the batch.</param>
    /// <param name="items">To which one is added that must fail.</param>
    /// <param name="text">A key that holds no number when the items before have been executed.</param>
    private void Spoil(Token token, List<KeyWrite> items, byte[] text)
    {
        if (!token.IsSpoiled)
        {
            return;
        }

        if (_random.Chance(0.5))
        {
            items.Add(new Increment(text));
        }
        else
        {
            items.Insert(_random.Below(items.Count + 1), new Delete(text, new KvCondition(ConditionKind.RevisionIs, NoRevision)));
        }
    }

    private static Append AppendOf(Token token, byte[] list, KvCondition condition = default) =>
        new(list, Encoding.ASCII.GetBytes($"{token.Text};"), condition: condition);

    private KvCondition DrawCondition(TokenList list) => _random.Below(10) switch
    {
        0 => new KvCondition(ConditionKind.Exists),
        1 => new KvCondition(ConditionKind.Absent),
        2 or 3 => new KvCondition(ConditionKind.RevisionIs, list.Revision),
        _ => default,
    };

    private void Send(Attempt attempt)
    {
        SimulatedNode node = DrawNode(attempt.LastAsked);
        attempt.LastAsked = node;
        int sending = ++attempt.Sendings;
        attempt.MayBeUnsupported |= MayLackLevel(attempt);
        if (node.Store is null)
        {
            // Connection refused: this sending did nothing.
            _cluster.Scheduler.After(_random.Between(500, 5_000), "refused", attempt.Writer.Number, () => Lost(attempt, nothingSent: true));
            return;
        }

        if (_random.Chance(_lateCopies))
        {
            SendLateCopy(attempt);
        }

        bool over = false;
        Submit(node, attempt.Request, reply => Ended(() => Answered(attempt, reply)));

        // A paused node says nothing: the client's own patience ends a little after the deadline it gave.
        _cluster.Scheduler.After(
            (_timeoutMs + 500) * 1000L, "patience", attempt.Writer.Number, () => Ended(() => Lost(attempt, nothingSent: false)));

        void Ended(Action how)
        {
            if (!over && attempt.Token.Fate == Fate.Open && attempt.Sendings == sending)
            {
                over = true;
                how();
            }
        }
    }

    /// <summary>Something on the way held a copy back: it arrives when the client may have its answer and has gone on.</summary>
    private void SendLateCopy(Attempt attempt)
    {
        // Whatever the client is told of its own sendings, this one may still take effect.
        attempt.MayHaveApplied = true;
        SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
        _open++;
        _cluster.Scheduler.After(_random.Between(1_000, LatestCopyMicros), "late-copy", attempt.Writer.Number, () =>
        {
            _open--;
            if (node.Store is not null)
            {
                _cluster.Marks.Hit(CoverageMarks.WriteCopiedLate);
                Submit(node, attempt.Request, reply => CheckExecutedOnce(attempt, reply));
            }
        });
    }

    private void Lost(Attempt attempt, bool nothingSent)
    {
        attempt.MayHaveApplied |= !nothingSent;
        if (_cluster.Scheduler.NowMicros < attempt.DeadlineMicros)
        {
            _cluster.Marks.Hit(CoverageMarks.WriteSentAgain);
            _cluster.Scheduler.After(_random.Between(1_000, 50_000), "retry", attempt.Writer.Number, () => Send(attempt));
        }
        else
        {
            End(attempt, attempt.MayHaveApplied ? Fate.Unknown : Fate.Refused);
        }
    }

    private void Answered(Attempt attempt, KvReply? reply)
    {
        CheckExecutedOnce(attempt, reply);
        switch (reply?.Code)
        {
            case ErrorCode.None:
                Executed(attempt, reply);
                End(attempt, Fate.Acknowledged);
                break;

            case ErrorCode.ConditionFailed or ErrorCode.NotANumber:
                // It was executed, and its one execution wrote nothing.
                End(attempt, Fate.Refused);
                break;

            case ErrorCode.Unsupported:
                CheckUnsupported(attempt, reply);
                if (attempt.MayHaveApplied)
                {
                    Lost(attempt, nothingSent: true);
                }
                else
                {
                    _cluster.Marks.Hit(CoverageMarks.AppendRefusedAtFirstLevel);
                    End(attempt, Fate.Refused);
                }

                break;

            default:
                Lost(attempt, nothingSent: reply?.Outcome == Outcome.NotApplied);
                break;
        }
    }

    private void Executed(Attempt attempt, KvReply reply)
    {
        Token token = attempt.Token;
        Require(!token.IsSpoiled, "batch-all-or-none", $"batch {token.Text} succeeded although one of its items cannot");
        bool isWhole = reply.Result is not BatchResult batch || batch.Items.Count == ((Batch)attempt.Request.Operation).Items.Count;
        Require(isWhole, "batch-all-or-none", $"batch {token.Text} was answered with results of other items than its own");
        _cluster.Marks.Executed(attempt.Request.Operation);
        if (attempt.Request.Operation is Append && _cluster.Marks.Counts.ContainsKey(CoverageMarks.CapLifted))
        {
            _cluster.Marks.Hit(CoverageMarks.AppendAfterUpgrade);
        }

        if (token is { IsOfBatch: false, Lists: [var list] })
        {
            list.Revision = Math.Max(list.Revision, reply.Revision);
        }

        MakeCertain(token);
    }

    private void CheckUnsupported(Attempt attempt, KvReply reply)
    {
        GroupId group = _cluster.Routing.GroupOf(attempt.Request.Key.Span);
        Require(
            attempt.MayBeUnsupported || MayLackLevel(attempt), "unsupported-after-raise",
            $"write {attempt.Token.Text} of level {attempt.Request.Operation.Level} was refused in group {group}, which is of that level: {reply.Detail}");
        Require(reply.Outcome == Outcome.NotApplied || attempt.MayHaveApplied, "unsupported-after-raise", "an operation was not supported, and who knows what it did");
    }

    private bool MayLackLevel(Attempt attempt) =>
        _cluster.MayLackLevel(_cluster.Routing.GroupOf(attempt.Request.Key.Span), attempt.Request.Operation.Level);

    /// <summary>Whatever a copy of a write is told of its execution, it is told of the same one.</summary>
    private static void CheckExecutedOnce(Attempt attempt, KvReply? reply)
    {
        if (reply?.Code is not (ErrorCode.None or ErrorCode.ConditionFailed or ErrorCode.NotANumber))
        {
            return;
        }

        (ErrorCode, ulong) told = (reply.Code, reply.Revision);
        Require(
            attempt.Executed is null || attempt.Executed == told, "executed-once",
            $"write {attempt.Token.Text} was executed as {attempt.Executed} and as {told}");
        attempt.Executed = told;
    }

    private void End(Attempt attempt, Fate fate)
    {
        attempt.Token.Fate = fate;
        _cluster.Scheduler.Fold((ulong)fate ^ (attempt.Token.Sequence << 8));
        Next(attempt.Writer);
    }

    private static void MakeCertain(Token token)
    {
        if (!token.IsCertain)
        {
            token.IsCertain = true;
            foreach (TokenList list in token.Lists)
            {
                list.Certain.Add(token);
            }
        }
    }

    private void Read(Writer writer, KeySet set, TokenList list)
    {
        SimulatedNode node = DrawNode(null);
        if (node.Store is null)
        {
            Next(writer);
            return;
        }

        (int length, int certain) = (list.Longest.Length, list.Certain.Count);
        var request = new KvRequest { Operation = new Get(list.Key), TimeoutMs = _timeoutMs };
        bool over = false;
        Submit(node, request, reply =>
        {
            if (reply?.Code is ErrorCode.None or ErrorCode.KeyNotFound)
            {
                Judge(set, list, reply, length, certain);
            }

            Over();
        });
        _cluster.Scheduler.After((_timeoutMs + 500) * 1000L, "patience", writer.Number, Over);

        void Over()
        {
            if (!over)
            {
                over = true;
                Next(writer);
            }
        }
    }

    /// <summary>Holds a strong read of a list against all that was known of it when the read was asked.</summary>
    private Token[] Judge(KeySet set, TokenList list, KvReply reply, int lengthBefore, int certainBefore)
    {
        string text = TextOf(reply) ?? "";
        string[] words = text.Split(';');
        var tokens = new Token[words.Length - 1];
        var there = new HashSet<Token>();
        var last = new Token?[_writers.Length];
        Require(words[^1].Length == 0, "append-phantom", $"{list} ends with {words[^1]}, which is no whole token");
        for (int i = 0; i < tokens.Length; i++)
        {
            bool isKnown = set.Tokens.TryGetValue(words[i], out Token? token);
            Require(isKnown && token!.Lists.Contains(list), "append-phantom", $"{list} holds {words[i]}, which nobody appended to it");
            Require(there.Add(token!), "append-twice", $"{list} holds {words[i]} twice");
            Require(
                token!.Fate != Fate.Refused && !token.IsSpoiled, token.IsOfBatch ? "batch-all-or-none" : "append-refused",
                $"{list} holds {words[i]}, which was refused");
            CheckOrder(list, last[token.Writer], token);
            last[token.Writer] = token;
            tokens[i] = token;
        }

        int common = Math.Min(tokens.Length, list.Longest.Length);
        Require(
            tokens.AsSpan(0, common).SequenceEqual(list.Longest.AsSpan(0, common)), "append-order",
            $"{list} does not begin as it did before: {text}, before: {string.Join(';', list.Longest.Select(t => t.Text))}");
        Require(tokens.Length >= lengthBefore, "stale-read", $"a strong read of {list} shows {tokens.Length} tokens, after one that showed {lengthBefore}");
        foreach (Token token in list.Certain.Take(certainBefore))
        {
            Require(
                there.Contains(token), token.Fate == Fate.Acknowledged ? "append-missing" : "batch-all-or-none",
                $"{list} lacks {token.Text}, which was {(token.Fate == Fate.Acknowledged ? "acknowledged" : "there in the other list of its batch")}");
        }

        if (tokens.Length > list.Longest.Length)
        {
            list.Longest = tokens;
            Array.ForEach(tokens, MakeCertain);
        }

        list.Revision = Math.Max(list.Revision, reply.Revision);
        return tokens;
    }

    /// <summary>
    /// A writer sends a token when the one before is over. Only one whose outcome it was never told may come later than that, and
    /// only as long as the writer has not said that it is over.
    /// </summary>
    private void CheckOrder(TokenList list, Token? before, Token token) => Require(
        before is null || before.Sequence < token.Sequence || (token.Fate == Fate.Unknown && !_sayWhatIsAcknowledged), "append-order",
        $"{list} holds {token.Text} ({token.Fate}) behind {before?.Text}");

    private void Check(KeySet set)
    {
        for (int tries = 0; tries < MostTries; tries++)
        {
            // What was still on its way when the writers stopped may come between two reads.
            Token[] first = ReadNow(set, set.Lists[0]);
            Token[] second = ReadNow(set, set.Lists[1]);
            string? register = TextOf(ReadNow(set.Register));
            string? counter = TextOf(ReadNow(set.Counter));
            string?[] pair = [TextOf(ReadNow(set.Pair[0])), TextOf(ReadNow(set.Pair[1]))];
            string? pairs = TextOf(ReadNow(set.PairCounter));
            if (ReadNow(set, set.Lists[0]).Length == first.Length && TextOf(ReadNow(set.Pair[0])) == pair[0])
            {
                Token[] batches = [.. first.Where(t => t.IsOfBatch)];
                Require(
                    batches.SequenceEqual(second.Where(t => t.IsOfBatch)), "batch-all-or-none", $"the lists of {set.Tag} hold other batches, or in another order");
                CheckRegister(set, batches, register);
                int counted = batches.Count(t => t.Counts);
                Require(
                    NumberOf(counter) == counted, "batch-all-or-none", $"the counter of {set.Tag} is {counter}, but {counted} batches counted");
                CheckPair(set, pair, NumberOf(pairs));
                return;
            }
        }

        throw new SafetyViolationException("liveness", $"writes to {set.Tag} never ended");
    }

    private static void CheckRegister(KeySet set, Token[] batches, string? register)
    {
        Token? last = Array.FindLast(batches, t => t.Register != RegisterChange.None);
        string? expected = last?.Register switch
        {
            RegisterChange.Put or RegisterChange.DeleteAndAppend => last.Text,
            RegisterChange.PutAndAppend => $"+{last.Text}",
            _ => null,
        };
        Require(
            register == expected, "batch-all-or-none", $"the register of {set.Tag} holds {register}, but {expected} after the batches in its lists");
    }

    private static void CheckPair(KeySet set, string?[] pair, long count)
    {
        Token[] sent = [.. set.Tokens.Values.Where(t => t is { Lists.Count: 0, IsSpoiled: false })];
        Require(pair[0] == pair[1], "batch-all-or-none", $"the pair of {set.Tag} is {pair[0]} and {pair[1]}");
        Require(
            pair[0] is null || Array.Exists(sent, t => t.Text == pair[0] && t.Fate != Fate.Refused), "batch-all-or-none",
            $"the pair of {set.Tag} holds {pair[0]}, which was refused");
        int acknowledged = sent.Count(t => t.Fate == Fate.Acknowledged);
        int most = acknowledged + sent.Count(t => t.Fate == Fate.Unknown);
        Require(count >= acknowledged, "append-missing", $"{count} pairs of {set.Tag} were written, {acknowledged} acknowledged");
        Require(count <= most, "append-twice", $"{count} pairs of {set.Tag} were written, at most {most} were not refused");
    }

    private Token[] ReadNow(KeySet set, TokenList list)
    {
        (int length, int certain) = (list.Longest.Length, list.Certain.Count);
        return Judge(set, list, ReadNow(list.Key), length, certain);
    }

    private KvReply ReadNow(byte[] key)
    {
        KvReply? reply = null;
        SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
        Submit(node, new KvRequest { Operation = new Get(key), TimeoutMs = 30_000 }, r => reply = r);
        _cluster.Scheduler.RunUntil(() => reply is not null, 60_000_000);
        Require(
            reply?.Code is ErrorCode.None or ErrorCode.KeyNotFound, "liveness",
            $"{Encoding.ASCII.GetString(key)} could not be read at the end: {reply?.Code} {reply?.Detail}");
        return reply!;
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

    private SimulatedNode DrawNode(SimulatedNode? but)
    {
        SimulatedNode[] nodes = [.. _cluster.Nodes.Where(n => n != but)];
        return nodes[_random.Below(nodes.Length)];
    }

    private static string? TextOf(KvReply reply) => reply.Result is Found found ? Encoding.ASCII.GetString(found.Value.Span) : null;

    private static long NumberOf(string? text) => text is null ? 0 : long.Parse(text, CultureInfo.InvariantCulture);

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }

    private const ulong Salt = 0xA99E_4D;
    private const int Writers = 3;
    private const int Sets = 2;
    private const int MostTries = 5;

    /// <summary>Client ids that no other client of a run has.</summary>
    private const int FirstClient = 1_000;

    /// <summary>Below every revision that a group ever had.</summary>
    private const ulong NoRevision = 1;

    private const long MaxThinkMicros = 250_000;
    private const long SetLifeMicros = 20_000_000;
    private const long LatestCopyMicros = 1_000_000;
}
