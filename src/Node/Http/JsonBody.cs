using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace KvStore.Node.Http;

/// <summary>Writes one JSON object as the whole body; on HEAD its length alone.</summary>
internal static class JsonBody
{
    /// <summary>Relaxed: quotes of ETags and non-ASCII keys stay readable. The media type is JSON and never sniffed as HTML.</summary>
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>One that may be large (<see cref="JsonParts"/>).</summary>
    public static async Task WriteInPartsAsync<T>(HttpContext context, string mediaType, T subject, Func<JsonParts, T, ValueTask> writeMembers)
    {
        context.Response.ContentType = mediaType;
        using JsonParts parts = new(context, Options);
        parts.Json.WriteStartObject();
        await writeMembers(parts, subject);
        parts.Json.WriteEndObject();
        await parts.EndAsync();
    }

    /// <summary>One that is small, with its length.</summary>
    public static async Task WriteAsync<T>(HttpContext context, string mediaType, T subject, Action<Utf8JsonWriter, T> writeMembers)
    {
        ArrayBufferWriter<byte> body = new();
        using (Utf8JsonWriter json = new(body, Options))
        {
            json.WriteStartObject();
            writeMembers(json, subject);
            json.WriteEndObject();
        }

        context.Response.ContentType = mediaType;
        context.Response.ContentLength = body.WrittenCount;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await context.Response.BodyWriter.WriteAsync(body.WrittenMemory, context.RequestAborted);
        }
    }
}
