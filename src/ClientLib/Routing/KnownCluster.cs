using KvStore.Protocol;

// The signals are completed by loops that run on the pool and know no synchronisation context: awaiting them cannot deadlock.
#pragma warning disable VSTHRD003

namespace KvStore.Client.Routing;

/// <summary>
/// Finds the nodes of the cluster, keeps a link to each, and keeps what it knows of table and leaders fresh. While no node can be reached the
/// endpoints are asked again and again, for ever: machines come back, under other addresses, too.
/// </summary>
internal sealed class KnownCluster : IAsyncDisposable
{
    private const int SearchPauseMs = 100;
    private static readonly TimeSpan RefreshPeriod = TimeSpan.FromSeconds(10);

    /// <summary>While a node cannot be reached the others are asked more often: groups get new leaders then.</summary>
    private static readonly TimeSpan AnxiousPeriod = TimeSpan.FromSeconds(1);

    /// <summary>All clients that notice something at once must not ask at once for long.</summary>
    private static readonly TimeSpan LeastBetweenRefreshes = TimeSpan.FromMilliseconds(50);

    private readonly KvClientOptions _options;
    private readonly KvEndpoint[] _endpoints;
    private readonly ClusterDirectory _directory;
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Task> _retired = [];
    private readonly Lock _gate = new();
    private volatile ClusterState _state = ClusterState.Nothing;
    private volatile string? _clusterId;
    private volatile KvException? _lastFailure;
    private volatile bool _introduced;
    private TaskCompletionSource _changed = NewSignal();
    private TaskCompletionSource _wanted = NewSignal();
    private int _ended;
    private Task? _keeping;

    public KnownCluster(KvClientOptions options)
    {
        options.Validate();
        _options = options;
        _clusterId = options.ClusterId;
        _endpoints = [.. options.Endpoints.Select(KvEndpoint.Parse)];
        _directory = new ClusterDirectory(options);
    }

    public ClusterState State => _state;

    /// <summary>A node has been asked for the table, and has answered or not: before that keys are sent to whoever is there.</summary>
    public bool IsIntroduced => _introduced;

    /// <summary>Null until a node has said it.</summary>
    public string? ClusterId => _clusterId;

    public void ThrowIfStopped() => ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);

    /// <summary>Why the cluster was not found when it was looked for last; null when it was.</summary>
    public KvException? LastFailure => _lastFailure ?? _state.Links.Select(link => link.LastFailure).FirstOrDefault(failure => failure is not null);

    public void Start()
    {
        if (_keeping is null)
        {
            lock (_gate)
            {
                ThrowIfStopped();
                _keeping ??= Task.Run(KeepAsync);
            }
        }
    }

    /// <summary>Ends when a link has come or gone since the state was looked at, or when the time is over.</summary>
    public async Task WaitForChangeAsync(TimeSpan atMost, CancellationToken cancellationToken)
    {
        Task changed;
        lock (_gate)
        {
            changed = _changed.Task;
        }

        await changed.WaitAsync(atMost, _options.Time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Something that came back says that what is known is old.</summary>
    public void WantRefresh()
    {
        lock (_gate)
        {
            _wanted.TrySetResult();
        }
    }

    /// <summary>What the reply says of the cluster, besides its answer.</summary>
    public void Learn(KvReply reply)
    {
        if (reply.Evidence is { Role: ServedRole.Leader } evidence)
        {
            _state.Learn(evidence.Group, evidence.Node, evidence.Term);
        }

        if (reply.Epoch > _state.Epoch)
        {
            WantRefresh();
        }
    }

    /// <summary>The first call ends everything; a container that knows the client under two names makes a second one.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0)
        {
            return;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        if (_keeping is not null)
        {
            await _keeping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        foreach (NodeLink link in _state.Links)
        {
            await link.DisposeAsync().ConfigureAwait(false);
        }

        await Task.WhenAll(_retired).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        OnChanged();
        _directory.Dispose();
        _stopping.Dispose();
    }

    private async Task KeepAsync()
    {
        // Set before the first search, so that a link that is there at once is asked for the table at once.
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                Task wanted = NextWanted;
                bool reached = _state.Links.Any(link => link.IsUsable);
                if (!reached)
                {
                    await SearchAsync().ConfigureAwait(false);
                }
                else
                {
                    await RefreshAsync().ConfigureAwait(false);
                }

                await PauseAsync(wanted, reached).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private Task NextWanted
    {
        get
        {
            lock (_gate)
            {
                if (_wanted.Task.IsCompleted)
                {
                    _wanted = NewSignal();
                }

                return _wanted.Task;
            }
        }
    }

    private async Task PauseAsync(Task wanted, bool reached)
    {
        TimeSpan period = !reached
            ? TimeSpan.FromMilliseconds(SearchPauseMs * (0.5 + Random.Shared.NextDouble()))
            : _state.Table is null || _state.Links.Any(link => !link.IsUsable) ? AnxiousPeriod : RefreshPeriod;
        await wanted.WaitAsync(period, _options.Time, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (wanted.IsCompleted)
        {
            await Task.Delay(LeastBetweenRefreshes, _options.Time, _stopping.Token).ConfigureAwait(false);
        }
    }

    private async Task SearchAsync()
    {
        KvEndpoint[] order = [.. _endpoints];
        Random.Shared.Shuffle(order);
        foreach (KvEndpoint endpoint in order)
        {
            try
            {
                DirectoryAnswer answer = await _directory.AskAsync(endpoint, _clusterId, _stopping.Token).ConfigureAwait(false);
                if (_clusterId is { } pinned && answer.ClusterId != pinned)
                {
                    _lastFailure = new KvException(
                        ErrorCode.InvalidRequest, $"{endpoint} belongs to cluster '{answer.ClusterId}', and this client to '{pinned}'");
                    continue;
                }

                _clusterId ??= answer.ClusterId;
                _lastFailure = null;
                Use(answer.Nodes, answer.Routing);
                return;
            }
            catch (KvException e)
            {
                _lastFailure = e;
            }
        }
    }

    private async Task RefreshAsync()
    {
        NodeLink[] usable = [.. _state.Links.Where(link => link.IsUsable && link.IsTrusted)];
        if (usable.Length == 0)
        {
            return;
        }

        NodeLink asked = usable[Random.Shared.Next(usable.Length)];
        var request = new KvRequest { Operation = RoutingQuestion.Since(_state.Epoch), TimeoutMs = 1000 };
        RequestResult result = await asked.SendAsync(request, _stopping.Token).ConfigureAwait(false);
        if (result.Reply?.Result is ClusterRouting routing)
        {
            Use(routing.Nodes, routing);
        }

        if (!_introduced)
        {
            _introduced = true;
            OnChanged();
        }
    }

    private void Use(IReadOnlyList<AdvertisedNode> nodes, ClusterRouting? routing)
    {
        ClusterState before = _state;
        RoutingTable? table = routing?.ToTable() is { } newer && newer.Epoch > before.Epoch ? newer : before.Table;
        var links = before.Links.ToDictionary(link => link.Node.Node);
        bool moved = false;
        foreach (AdvertisedNode node in nodes.Where(node => !node.Node.IsNone && IsAddress(node.Binary)))
        {
            if (links.TryGetValue(node.Node, out NodeLink? known) && known.Node.Binary == node.Binary)
            {
                continue;
            }

            if (known is not null)
            {
                _retired.Add(known.DisposeAsync().AsTask());
            }

            links[node.Node] = new NodeLink(node, _options, () => _clusterId, OnLinkChanged);
            moved = true;
        }

        foreach (NodeLink gone in links.Values.Where(link => nodes.Count > 0 && nodes.All(node => node.Node != link.Node.Node)).ToList())
        {
            links.Remove(gone.Node.Node);
            _retired.Add(gone.DisposeAsync().AsTask());
            moved = true;
        }

        if (moved || !ReferenceEquals(table, before.Table))
        {
            _retired.RemoveAll(task => task.IsCompleted);
            _state = new ClusterState(before, table, [.. links.Values.OrderBy(link => link.Node.Node)]);
            OnChanged();
        }

        foreach (GroupLeader leader in routing?.Leaders ?? [])
        {
            _state.Learn(leader.Group, leader.Leader, leader.Term);
        }
    }

    private static bool IsAddress(string text)
    {
        try
        {
            _ = KvEndpoint.Parse(text);
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private void OnLinkChanged(NodeLink link)
    {
        OnChanged();
        WantRefresh();
    }

    private void OnChanged()
    {
        TaskCompletionSource before;
        lock (_gate)
        {
            before = _changed;
            _changed = NewSignal();
        }

        before.TrySetResult();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
