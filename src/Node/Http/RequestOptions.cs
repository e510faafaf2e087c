using System.Diagnostics;
using System.Globalization;
using KvStore.Node.Config;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>What happens to a request that another node must answer.</summary>
internal enum RouteMode : byte
{
    Proxy,
    Redirect,
    Strict,
}

/// <summary>The options of one data request, checked.</summary>
internal struct RequestOptions
{
    public const int DefaultTimeoutMs = 5000;

    public ReadLevel Level { get; private set; }

    /// <summary>0: no bound on the age.</summary>
    public int MaxStalenessMs { get; private set; }

    public ulong? MaxLag { get; private set; }

    /// <summary>Null when the request carries none.</summary>
    public SessionToken? Session { get; private set; }

    public OnUnmet OnUnmet { get; private set; }

    public WriteAck Ack { get; private set; }

    public int TimeoutMs { get; private set; }

    /// <summary>The same with what is left of the time since then; a millisecond at least.</summary>
    public readonly RequestOptions LeftSince(long begun)
    {
        RequestOptions left = this;
        left.TimeoutMs = Math.Max(1, TimeoutMs - (int)Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
        return left;
    }
    public RouteMode Route { get; private set; }

    /// <summary>Condition of a write.</summary>
    public KvCondition Condition { get; private set; }

    /// <summary>If-Match of a read, checked against what was read; null when absent.</summary>
    public string? ReadIfMatch { get; private set; }

    /// <summary>If-None-Match of a read; null when absent.</summary>
    public string? ReadIfNoneMatch { get; private set; }

    public string? IdempotencyKey { get; private set; }

    /// <summary>Unix milliseconds; 0 when the client did not say.</summary>
    public ulong FirstSentMs { get; private set; }

    public bool Strict { get; private set; }

    /// <summary>?format: true json, false raw, null not said.</summary>
    public bool? Envelope { get; private set; }

    /// <summary>How an explained key is written.</summary>
    public KeyForm KeyForm { get; private set; }

    /// <param name="request">Headers and query.</param>
    /// <param name="kind">Which options it takes.</param>
    /// <param name="noun">What messages call it.</param>
    /// <param name="config">Defaults and limits.</param>
    /// <param name="options">Valid when null is returned.</param>
    public static Problem? Read(
        HttpRequest request, RequestKinds kind, string noun, ClusterConfig config, out RequestOptions options)
    {
        options = new RequestOptions { Level = config.Reads.Default, TimeoutMs = DefaultTimeoutMs };
        Problem? problem = OptionValues.Read(request, out OptionValues values);
        if (problem is not null)
        {
            return problem;
        }

        foreach (RequestOption option in RequestOption.All)
        {
            if (values[option.Id] is not { } value)
            {
                continue;
            }

            if (!option.Offered)
            {
                return Problem.Invalid($"{option.Name} is not available yet in this build.");
            }

            problem = (option.Kinds & kind) != 0 ? options.Take(option, value, kind, config) : ConditionElsewhere(option, noun);
            if (problem is not null)
            {
                return problem;
            }
        }

        if (options.Condition.Kind == ConditionKind.Absent && values[OptionId.IfMatch] is not null)
        {
            return Problem.Invalid("If-Match and If-None-Match: * exclude each other: send one of them.");
        }

        if (options.FirstSentMs != 0 && options.IdempotencyKey is null && (kind & RequestKinds.Write) != 0)
        {
            return Problem.Invalid("Kv-First-Sent says when an Idempotency-Key was first used: send both or neither.");
        }

        return options.SettleBound(levelIsNamed: values[OptionId.Consistency] is not null, config.Reads);
    }

    /// <summary>500ms, 5s, 1m, 24h: a whole number and a unit.</summary>
    public static bool TryParseDuration(ReadOnlySpan<char> text, out int milliseconds)
    {
        milliseconds = 0;
        int unit = 0;
        if (text.EndsWith("ms", StringComparison.Ordinal))
        {
            unit = 1;
            text = text[..^2];
        }
        else if (text.Length > 0)
        {
            unit = text[^1] switch { 's' => 1000, 'm' => 60_000, 'h' => 3_600_000, _ => 0 };
            text = text[..^1];
        }

        if (unit == 0
            || !int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            || number > int.MaxValue / unit)
        {
            return false;
        }

        milliseconds = number * unit;
        return true;
    }

    /// <summary>
    /// A key as such, or as the quoted string the Idempotency-Key draft asks for (RFC 9651: backslash escapes only '"' and
    /// itself). Both spellings name the same key.
    /// </summary>
    public static bool TryParseIdempotencyKey(string text, out string key)
    {
        key = text;
        if (text.StartsWith('"'))
        {
            if (text.Length < 2 || !text.EndsWith('"'))
            {
                return false;
            }

            ReadOnlySpan<char> inner = text.AsSpan(1, text.Length - 2);
            if (inner.IndexOfAny('"', '\\') >= 0)
            {
                Span<char> plain = inner.Length <= 512 ? stackalloc char[inner.Length] : new char[inner.Length];
                int length = 0;
                for (int i = 0; i < inner.Length; i++)
                {
                    bool escaped = inner[i] == '\\';
                    if (escaped)
                    {
                        i++;
                    }

                    if (i == inner.Length || (inner[i] is '"' or '\\') != escaped)
                    {
                        return false;
                    }

                    plain[length++] = inner[i];
                }

                key = new string(plain[..length]);
            }
            else
            {
                key = new string(inner);
            }
        }

        return key.Length is >= 1 and <= HttpLimits.MaxIdempotencyKeyChars && !key.AsSpan().ContainsAnyExceptInRange(' ', '~');
    }

    // Ignoring a condition would execute a request its sender wanted refused; every other option may be sent with anything.
    private static Problem? ConditionElsewhere(RequestOption option, string noun) =>
        option.Id is OptionId.IfMatch or OptionId.IfNoneMatch ? Problem.Invalid($"{option.Name} is not offered on {noun}.") : null;

    /// <summary>
    /// A bound says what the reader can live with, so it asks for bounded on its own; beside another level one of the two was not
    /// meant.
    /// </summary>
    private Problem? SettleBound(bool levelIsNamed, ReadSettings reads)
    {
        if (MaxStalenessMs == 0 && MaxLag is null)
        {
            MaxStalenessMs = Level == ReadLevel.Bounded ? reads.MaxStalenessMs : 0;
            return null;
        }

        if (!levelIsNamed)
        {
            Level = ReadLevel.Bounded;
        }

        return Level == ReadLevel.Bounded ? null : Problem.Invalid(
            $"Kv-Max-Staleness and Kv-Max-Lag bound a bounded read, but Kv-Consistency is {KvHeaders.NameOf(Level)}: "
            + "send Kv-Consistency: bounded, or no bound.");
    }

    private Problem? TakeSession(string value, ClusterConfig config)
    {
        if (value.Length > SessionToken.MaxTextLength)
        {
            return Problem.TokenTooLong(value.Length);
        }

        if (!SessionToken.TryParse(value, config.ClusterId, out SessionToken? token, out string? problem))
        {
            return Problem.BadToken(problem);
        }

        foreach ((GroupId group, _) in token.Points)
        {
            if (group.Value < 1 || group.Value > config.Groups)
            {
                return Problem.BadToken($"the session token names group {group}; this cluster has the groups 1 to {config.Groups}");
            }
        }

        Session = token;
        return null;
    }

    private Problem? Take(RequestOption option, string value, RequestKinds kind, ClusterConfig config)
    {
        switch (option.Id)
        {
            case OptionId.Consistency:
                ReadLevel? level = KvHeaders.LevelOf(value);
                Level = level ?? Level;
                return level is null ? option.Refuse(value) : null;

            case OptionId.MaxStaleness:
                bool isDuration = TryParseDuration(value, out int maxStalenessMs);
                MaxStalenessMs = maxStalenessMs;
                return isDuration && maxStalenessMs is >= 1 and <= Limits.MaxStalenessMs ? null : option.Refuse(value);

            case OptionId.MaxLag:
                bool isCount = ulong.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out ulong maxLag);
                MaxLag = maxLag;
                return isCount ? null : option.Refuse(value);

            case OptionId.Session:
                return TakeSession(value, config);

            case OptionId.Timeout:
                if (!TryParseDuration(value, out int timeoutMs) || timeoutMs is < 1 or > Limits.MaxTimeoutMs)
                {
                    return option.Refuse(value);
                }

                TimeoutMs = timeoutMs;
                return null;

            case OptionId.Route:
                switch (value)
                {
                    case "proxy":
                        Route = RouteMode.Proxy;
                        return null;
                    case "redirect":
                        Route = RouteMode.Redirect;
                        return null;
                    case "strict":
                        Route = RouteMode.Strict;
                        return null;
                    default:
                        return option.Refuse(value);
                }

            case OptionId.Ack:
                Ack = value == "all" ? WriteAck.All : WriteAck.Majority;
                return value is "majority" or "all" ? null : option.Refuse(value);

            case OptionId.OnUnmet:
                OnUnmet = value switch { "fail" => OnUnmet.Fail, "serve" => OnUnmet.Serve, _ => OnUnmet.Forward };
                return value is "forward" or "fail" or "serve" ? null : option.Refuse(value);

            case OptionId.IfMatch when (kind & RequestKinds.Read) != 0:
                ReadIfMatch = value;
                return ETag.IsStrongOrAny(value) ? null : option.Refuse(value);

            case OptionId.IfMatch:
                if (!ETag.IsStrongOrAny(value))
                {
                    return option.Refuse(value);
                }

                Condition = value == "*"
                    ? new KvCondition(ConditionKind.Exists)
                    : new KvCondition(ConditionKind.RevisionIs, ETag.RevisionOf(value));
                return null;

            case OptionId.IfNoneMatch when (kind & RequestKinds.Read) != 0:
                ReadIfNoneMatch = value;
                return ETag.IsList(value) ? null : option.Refuse(value);

            case OptionId.IfNoneMatch:
                if (value != "*")
                {
                    return Problem.Invalid($"{option.Name} on a write takes only *: it creates the key and never replaces it.");
                }

                Condition = new KvCondition(ConditionKind.Absent);
                return null;

            case OptionId.IdempotencyKey:
                bool wellFormed = TryParseIdempotencyKey(value, out string key);
                IdempotencyKey = key;
                return wellFormed ? null : option.Refuse(value);

            case OptionId.FirstSent:
                bool isNumber = ulong.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out ulong firstSentMs);
                FirstSentMs = firstSentMs;
                return isNumber && firstSentMs > 0 ? null : option.Refuse(value);

            case OptionId.Format:
                Envelope = value == "json";
                return value is "json" or "raw" ? null : option.Refuse(value);

            case OptionId.Strict:
                Strict = value is "" or "true";
                return value is "" or "true" or "false" ? null : option.Refuse(value);

            case OptionId.KeyEncoding:
                KeyForm = value == "base64url" ? KeyForm.Base64Url : KeyForm.Text;
                return value is "text" or "base64url" ? null : option.Refuse(value);

            default:
                return Problem.Invalid($"{option.Name} is not available yet in this build.");
        }
    }
}
