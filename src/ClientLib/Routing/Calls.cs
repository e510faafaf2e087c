using KvStore.Protocol;

namespace KvStore.Client.Routing;

/// <summary>One call of a caller: what is asked, and on which terms.</summary>
internal readonly record struct Call(Operation Operation, Read Read, WriteAck Ack, TimeSpan? Timeout, SessionState? Session, RequestId? Id = null);

/// <summary>
/// Brings a call to its end: chooses a node, sends, and goes on from what came back until there is an answer or the time is over. A write
/// goes under one id however often it is sent.
/// </summary>
internal sealed class Calls(KnownCluster cluster, KvClientOptions options)
{
    /// <summary>How often a call without a node to ask looks again, should no link change.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(50);

    private readonly WriteIds _ids = new(options.Time);
    private readonly RetryBudget _budget = new(options.Retry.BudgetRatio, options.Retry.BudgetReserve);
    private readonly ReplicaChoice _choice = new(options);

    public string NameOf(NodeId node) => cluster.State.NameOf(node);

    /// <summary>A session that has seen nothing.</summary>
    public SessionState NewSession() => new(() => cluster.ClusterId);

    /// <exception cref="KvException">No answer in time, or one that is none.</exception>
    /// <exception cref="KvOutcomeUnknownException">A write that may have been done.</exception>
    public async ValueTask<KvReply> RunAsync(Call call, CancellationToken cancellationToken)
    {
        if (call.Operation.Violation(Limits) is { } violation)
        {
            throw new KvException(violation.Code, violation.Detail) { Outcome = Outcome.NotApplied, Key = KeyOf(call) };
        }

        cluster.Start();
        _budget.OnCall();
        long started = options.Time.GetTimestamp();
        using var trace = KvTelemetry.Begin(call.Operation);
        WriteIds.WriteId? own = call.Operation is WriteOperation && call.Id is null ? _ids.Begin() : null;
        var attempts = new Attempts(call, own?.Id ?? call.Id, started);
        bool known = false;
        try
        {
            KvReply reply = await RunAsync(attempts, cancellationToken).ConfigureAwait(false);
            known = true;
            return reply;
        }
        catch (KvOutcomeUnknownException)
        {
            throw;
        }
        catch (Exception)
        {
            // Nothing was done, or the caller has gone without waiting for the id: nobody will ask under it again.
            known = true;
            throw;
        }
        finally
        {
            if (own is { } id)
            {
                _ids.Ended(id, known);
            }

            KvTelemetry.End(call.Operation, call.Read, options.Time.GetElapsedTime(started), attempts.Count, attempts.Last);
        }
    }

    private static readonly RequestLimits Limits = new();

    private async ValueTask<KvReply> RunAsync(Attempts attempts, CancellationToken cancellationToken)
    {
        Call call = attempts.Call;
        TimeSpan timeout = call.Timeout ?? options.Timeout;
        bool isWrite = call.Operation is WriteOperation;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            cluster.ThrowIfStopped();
            TimeSpan left = timeout - options.Time.GetElapsedTime(attempts.Started);
            if (left <= TimeSpan.Zero || attempts.Count >= options.Retry.MaxAttempts)
            {
                throw GivenUp(attempts, left <= TimeSpan.Zero ? $"within {timeout.TotalMilliseconds:0} ms" : $"in {attempts.Count} attempts");
            }

            bool introduced = cluster.IsIntroduced;
            ClusterState state = cluster.State;
            GroupId group = state.GroupOf(call.Operation.Key.Span);
            KvRequest request = RequestOf(attempts, state, group, left);
            bool needsLeader = options.LeaderAware && (isWrite || request.Read.Level == ReadLevel.Strong);
            NodeId leader = attempts.Named.IsNone && needsLeader ? state.LeaderOf(group) : attempts.Named;
            if (!introduced || _choice.Pick(state, group, leader, attempts.Avoid) is not { } link)
            {
                await cluster.WaitForChangeAsync(left < LookAgain ? left : LookAgain, cancellationToken).ConfigureAwait(false);
                continue;
            }

            attempts.Count++;
            RequestResult result = await AskAsync(link, request, state, group, call.Read, cancellationToken).ConfigureAwait(false);
            if (result.Reply is { } reply)
            {
                cluster.Learn(reply);
            }

            attempts.Last = result;
            attempts.MayHaveBeenDone |= AttemptStep.LeavesUnknown(isWrite, result);
            Step step = AttemptStep.After(isWrite, result);
            if (step.Kind == StepKind.Answer)
            {
                return AnswerOf(attempts);
            }

            attempts.Avoid = step.Kind == StepKind.Later ? null : link;
            attempts.Named = step.Kind == StepKind.ToLeader && step.Leader != link.Node.Node ? step.Leader : NodeId.None;
            if (!step.Free && !_budget.TryTake())
            {
                throw GivenUp(attempts, "and as much is being retried as may be");
            }

            await PauseAsync(attempts, step, timeout, cancellationToken).ConfigureAwait(false);
        }
    }

    private KvRequest RequestOf(Attempts attempts, ClusterState state, GroupId group, TimeSpan left)
    {
        Call call = attempts.Call;
        ReadTerms terms = call.Read.Terms;
        SessionPoint point = default;
        if (call.Session?.Seen is { } seen)
        {
            point = seen.Find(group);
            if (terms.Level == ReadLevel.Session && (state.Table is null || seen.NeedsStrong(group)))
            {
                terms = ReadTerms.Strong;
            }
        }

        int leftMs = (int)Math.Min(left.TotalMilliseconds, Protocol.Limits.MaxTimeoutMs) - NodeLink.ReplyGraceMs;
        int mostMs = call.Ack == WriteAck.All ? leftMs : (int)options.Retry.AttemptTimeout.TotalMilliseconds;
        return new KvRequest
        {
            Operation = call.Operation,
            Read = terms,
            Ack = call.Ack,
            Session = point,
            Id = attempts.Id,
            TimeoutMs = Math.Max(1, Math.Min(leftMs, mostMs)),
            Epoch = state.Epoch,
        };
    }

    private ValueTask<RequestResult> AskAsync(
        NodeLink link, KvRequest request, ClusterState state, GroupId group, Read read, CancellationToken cancellationToken) =>
        read.HedgeAfter is { } after && !request.IsWrite && request.Read.Level != ReadLevel.Strong
            && _choice.Pick(state, group, NodeId.None, link) is { } second && second != link
            ? new ValueTask<RequestResult>(AskTwoAsync(link, second, request, after, cancellationToken))
            : link.SendAsync(request, cancellationToken);

    private async Task<RequestResult> AskTwoAsync(
        NodeLink first, NodeLink second, KvRequest request, TimeSpan after, CancellationToken cancellationToken)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<RequestResult> one = first.SendAsync(request, enough.Token).AsTask();
        if (await Task.WhenAny(one, Task.Delay(after, options.Time, enough.Token)).ConfigureAwait(false) == one)
        {
            await enough.CancelAsync().ConfigureAwait(false);
            return await one.ConfigureAwait(false);
        }

        KvTelemetry.Hedged();
        Task<RequestResult> two = second.SendAsync(request, enough.Token).AsTask();
        Task<RequestResult> winner = await Task.WhenAny(one, two).ConfigureAwait(false);
        RequestResult result = await winner.ConfigureAwait(false);
        if (result.Reply is null)
        {
            result = await (winner == one ? two : one).ConfigureAwait(false);
        }

        await enough.CancelAsync().ConfigureAwait(false);
        return result;
    }

    // The first retry goes to another node at once; after that everybody waits, each as long as chance says.
    private async Task PauseAsync(Attempts attempts, Step step, TimeSpan timeout, CancellationToken cancellationToken)
    {
        bool atOnce = step.Kind != StepKind.Later && attempts.Pauses == 0;
        attempts.Pauses++;
        if (atOnce)
        {
            return;
        }

        double most = Math.Min(
            options.Retry.BaseDelay.TotalMilliseconds * (1L << Math.Min(attempts.Pauses - 1, 20)), options.Retry.MaxDelay.TotalMilliseconds);
        double pause = Math.Max(step.Pause, Random.Shared.NextDouble() * most);
        TimeSpan left = timeout - options.Time.GetElapsedTime(attempts.Started);
        if (left > TimeSpan.Zero)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(pause, left.TotalMilliseconds)), options.Time, cancellationToken)
                .ConfigureAwait(false);
        }
    }

    private static KvReply AnswerOf(Attempts attempts)
    {
        if (attempts.Last.Reply is { } reply)
        {
            if (reply.Code is ErrorCode.None or ErrorCode.KeyNotFound or ErrorCode.ConditionFailed || reply.Result is BatchResult)
            {
                attempts.Call.Session?.Saw(reply);
                return reply;
            }

            // What was executed is the result, whatever became of earlier sendings; a mere refusal says nothing of them.
            bool executed = reply.Evidence is not null && reply.Code is ErrorCode.NotANumber or ErrorCode.NotOnAll or ErrorCode.TooLarge;
            string detail = reply.Detail ?? $"the store answered {reply.Code}";
            throw !executed && (attempts.MayHaveBeenDone || reply.Outcome == Outcome.Unknown) && attempts.Id is not null
                ? Unknown(attempts, detail)
                : new KvException(reply.Code, detail)
                {
                    Outcome = reply.Outcome,
                    Key = KeyOf(attempts.Call),
                    RetryAfter = reply.RetryAfterMs > 0 ? TimeSpan.FromMilliseconds(reply.RetryAfterMs) : null,
                    Attempts = attempts.Count,
                };
        }

        bool tooLarge = attempts.Last.End == RequestEnd.TooLarge;
        string why = tooLarge
            ? $"the request is above {Protocol.Limits.MaxRequestBytes} bytes; it was not sent"
            : "the node is of an older version and does not know this request; it was not sent, upgrade the node";
        throw attempts.MayHaveBeenDone
            ? Unknown(attempts, why)
            : new KvException(tooLarge ? ErrorCode.TooLarge : ErrorCode.Unsupported, why)
            {
                Outcome = Outcome.NotApplied,
                Key = KeyOf(attempts.Call),
                Attempts = attempts.Count,
            };
    }

    private KvException GivenUp(Attempts attempts, string when)
    {
        string why = attempts.Last.Reply is { } reply ? reply.Detail ?? $"the store answered {reply.Code}"
            : attempts.Count > 0 ? "no node answered"
            : $"no node of the cluster at {string.Join(", ", options.Endpoints)} can be reached ({cluster.LastFailure?.Message ?? "still looking"})";
        if (attempts.MayHaveBeenDone)
        {
            return Unknown(attempts, $"no answer {when}: {why}");
        }

        ErrorCode code = attempts.Last.Reply?.Code
            ?? (attempts.Count == 0 || attempts.Last.NeverSent ? ErrorCode.NoLeader : ErrorCode.Timeout);
        return new KvException(code, $"no answer {when}: {why}")
        {
            Outcome = attempts.Id is null ? Outcome.None : Outcome.NotApplied,
            Key = KeyOf(attempts.Call),
            Attempts = attempts.Count,
        };
    }

    private static KvOutcomeUnknownException Unknown(Attempts attempts, string why) =>
        new($"{why}; the write may have been applied, ResolveAsync asks what became of it", attempts.Id)
        {
            Key = KeyOf(attempts.Call),
            Attempts = attempts.Count,
            Request = new KvRequest { Operation = attempts.Call.Operation, Ack = attempts.Call.Ack, Id = attempts.Id },
        };

    private static KvKey? KeyOf(Call call) => call.Operation.Key is { IsEmpty: false } key ? new KvKey(key) : default(KvKey?);

    /// <summary>What has become of a call so far.</summary>
    private sealed class Attempts(Call call, RequestId? id, long started)
    {
        public Call Call { get; } = call;

        public RequestId? Id { get; } = id;

        public long Started { get; } = started;

        public int Count { get; set; }

        public int Pauses { get; set; }

        public RequestResult Last { get; set; } = new(RequestEnd.NotSent, null);

        /// <summary>An attempt may have been carried out without our knowing.</summary>
        public bool MayHaveBeenDone { get; set; }

        public NodeLink? Avoid { get; set; }

        /// <summary>The node that the last answer named as the leader.</summary>
        public NodeId Named { get; set; }
    }
}
