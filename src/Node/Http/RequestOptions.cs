using System.Globalization;
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
    public int TimeoutMs { get; private set; }
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

    public static Problem? Read(HttpRequest request, RequestKinds kind, ReadLevel defaultLevel, out RequestOptions options)
    {
        options = new RequestOptions { Level = defaultLevel, TimeoutMs = DefaultTimeoutMs };
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

            problem = (option.Kinds & kind) != 0 ? options.Take(option, value, kind) : ConditionElsewhere(option, kind);
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

        return null;
    }

    /// <summary>500ms, 5s, 1m: a whole number and a unit.</summary>
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
            unit = text[^1] switch { 's' => 1000, 'm' => 60_000, _ => 0 };
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
    private static Problem? ConditionElsewhere(RequestOption option, RequestKinds kind) =>
        option.Id is OptionId.IfMatch or OptionId.IfNoneMatch
            ? Problem.Invalid($"{option.Name} is not offered on {(kind == RequestKinds.Increment ? "an increment" : "a delete")}.")
            : null;

    private Problem? Take(RequestOption option, string value, RequestKinds kind)
    {
        switch (option.Id)
        {
            case OptionId.Consistency:
                switch (value)
                {
                    case "strong":
                        Level = ReadLevel.Strong;
                        return null;
                    case "eventual":
                        Level = ReadLevel.Eventual;
                        return null;
                    case "bounded" or "session":
                        return Problem.Invalid($"{option.Name} {value} is not available yet; this build serves: {option.Accepts}.");
                    default:
                        return option.Refuse(value);
                }

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
                return value switch
                {
                    "majority" => null,
                    "all" => Problem.Invalid("Kv-Ack: all is not available yet; accepted: majority."),
                    _ => option.Refuse(value),
                };

            case OptionId.OnUnmet:
                return value switch
                {
                    "forward" => null,
                    "fail" or "serve" => Problem.Invalid($"Kv-On-Unmet: {value} is not available yet; accepted: forward."),
                    _ => option.Refuse(value),
                };

            case OptionId.IfMatch when kind == RequestKinds.Get:
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

            case OptionId.IfNoneMatch when kind == RequestKinds.Get:
                ReadIfNoneMatch = value;
                return ETag.IsList(value) ? null : option.Refuse(value);

            case OptionId.IfNoneMatch:
                if (value != "*")
                {
                    return Problem.Invalid($"{option.Name} on PUT takes only *: it creates the key and never replaces it.");
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

            default:
                return Problem.Invalid($"{option.Name} is not available yet in this build.");
        }
    }
}
