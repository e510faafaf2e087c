using KvStore.Protocol;

namespace KvStore.Client.Routing;

/// <summary>What one session has seen. Tokens that came before the cluster was known are judged when it is.</summary>
internal sealed class SessionState(Func<string?> clusterId)
{
    private readonly Lock _gate = new();
    private readonly List<string> _unread = [];
    private SessionToken? _seen;

    /// <summary>The token to hand on; empty until the session has seen something.</summary>
    public string Text
    {
        get
        {
            SessionToken? seen = Seen;
            lock (_gate)
            {
                return seen is { Points.Count: > 0 } ? seen.ToString() : _unread.FirstOrDefault() ?? "";
            }
        }
    }

    /// <summary>Null until the cluster is known.</summary>
    /// <exception cref="KvException">SessionTokenInvalid, once: a token it was given is unreadable or of another cluster.</exception>
    public SessionToken? Seen
    {
        get
        {
            if (clusterId() is not { } known)
            {
                return null;
            }

            lock (_gate)
            {
                _seen ??= SessionToken.Empty(known);
                foreach (string text in _unread)
                {
                    if (!SessionToken.TryParse(text, known, out SessionToken? token, out string? problem))
                    {
                        _unread.Clear();
                        throw new KvException(ErrorCode.SessionTokenInvalid, problem) { Outcome = Outcome.NotApplied };
                    }

                    _seen = _seen.Merge(token);
                }

                _unread.Clear();
                return _seen;
            }
        }
    }

    public void Observe(string token)
    {
        if (token is null or "")
        {
            return;
        }

        lock (_gate)
        {
            _unread.Add(token);
        }

        _ = Seen;
    }

    public void Saw(KvReply reply)
    {
        if (Seen is not null)
        {
            lock (_gate)
            {
                _seen = _seen!.After(reply);
            }
        }
    }
}
