using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace KvStore.Client;

/// <summary>The serializers that come with the client.</summary>
public static class KvSerializers
{
    internal const string NeedsReflection = "JSON by reflection; give a JsonTypeInfo where the application is trimmed or compiled ahead of time.";

    /// <summary>Text in UTF-8.</summary>
    public static IKvSerializer<string> Text { get; } = new TextSerializer();

    /// <summary>The bytes as they are.</summary>
    public static IKvSerializer<ReadOnlyMemory<byte>> Bytes { get; } = new BytesSerializer();

    /// <summary>System.Text.Json by generated code: fit for trimming and for compilation ahead of time.</summary>
    public static IKvSerializer<T> Json<T>(JsonTypeInfo<T> type) => new JsonSerializerOf<T>(type);

    /// <summary>System.Text.Json by these options, which bring the type's metadata or find it by reflection.</summary>
    [RequiresUnreferencedCode(NeedsReflection)]
    [RequiresDynamicCode(NeedsReflection)]
    public static IKvSerializer<T> Json<T>(JsonSerializerOptions options) =>
        new JsonSerializerOf<T>((JsonTypeInfo<T>)WithMetadata(options).GetTypeInfo(typeof(T)));

    [RequiresUnreferencedCode(NeedsReflection)]
    [RequiresDynamicCode(NeedsReflection)]
    private static JsonSerializerOptions WithMetadata(JsonSerializerOptions options)
    {
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }

    internal static KvValue ToValue<T>(this IKvSerializer<T> serializer, T value)
    {
        var output = new ArrayBufferWriter<byte>(256);
        serializer.Serialize(value, output);
        return new KvValue(output.WrittenMemory, serializer.ContentType);
    }

    private sealed class TextSerializer : IKvSerializer<string>
    {
        public string ContentType => KvValue.TextType;

        public void Serialize(string value, IBufferWriter<byte> output) => Encoding.UTF8.GetBytes(value, output);

        public string Deserialize(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);
    }

    private sealed class BytesSerializer : IKvSerializer<ReadOnlyMemory<byte>>
    {
        public string? ContentType => null;

        public void Serialize(ReadOnlyMemory<byte> value, IBufferWriter<byte> output) => output.Write(value.Span);

        public ReadOnlyMemory<byte> Deserialize(ReadOnlySpan<byte> bytes) => bytes.ToArray();
    }

    private sealed class JsonSerializerOf<T>(JsonTypeInfo<T> type) : IKvSerializer<T>
    {
        public string ContentType => "application/json";

        public void Serialize(T value, IBufferWriter<byte> output)
        {
            using var writer = new Utf8JsonWriter(output);
            JsonSerializer.Serialize(writer, value, type);
        }

        public T Deserialize(ReadOnlySpan<byte> bytes) =>
            JsonSerializer.Deserialize(bytes, type) ?? throw new FormatException($"The value is JSON null, and no {typeof(T).Name}.");
    }
}

/// <summary>Which serializer a type has where a call names none: one setting for the whole client.</summary>
public abstract class KvSerializerProvider
{
    /// <summary>System.Text.Json with its web defaults; text and bytes as they are.</summary>
    public static KvSerializerProvider Json { get; } = new JsonProvider(new JsonSerializerOptions(JsonSerializerDefaults.Web));

    /// <summary>The same with these options.</summary>
    public static KvSerializerProvider JsonWith(JsonSerializerOptions options) => new JsonProvider(options);

    [RequiresUnreferencedCode(KvSerializers.NeedsReflection)]
    [RequiresDynamicCode(KvSerializers.NeedsReflection)]
    public abstract IKvSerializer<T> Of<T>();

    private sealed class JsonProvider(JsonSerializerOptions options) : KvSerializerProvider
    {
        [RequiresUnreferencedCode(KvSerializers.NeedsReflection)]
        [RequiresDynamicCode(KvSerializers.NeedsReflection)]
        public override IKvSerializer<T> Of<T>() => Cache<T>.Of(options);

        // Types are few and live as long as the process; so do the options of a client.
        private static class Cache<T>
        {
            private static readonly System.Runtime.CompilerServices.ConditionalWeakTable<JsonSerializerOptions, IKvSerializer<T>> Known = [];

            [RequiresUnreferencedCode(KvSerializers.NeedsReflection)]
            [RequiresDynamicCode(KvSerializers.NeedsReflection)]
            public static IKvSerializer<T> Of(JsonSerializerOptions options) => Known.GetValue(options, static options =>
                typeof(T) == typeof(string) ? (IKvSerializer<T>)KvSerializers.Text
                : typeof(T) == typeof(ReadOnlyMemory<byte>) ? (IKvSerializer<T>)KvSerializers.Bytes
                : KvSerializers.Json<T>(options));
        }
    }
}
